// Test bench: runs tiles that rtl/bench.py writes to the standard input through the array, and
// compares every cycle with what archonsim says of it. Several tiles run in one process, one behind
// the other. The layout of a tile is `Tile` below, in the order of its fields, little-endian.
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "Varchon_array.h"
#include "verilated.h"

namespace {

constexpr int MOST_FAULTS = 5;

// Ports of up to 64 bits are integers, wider ones arrays of 32-bit words.
template <class Port>
void put(Port &port, int at, int width, uint64_t bits) {
  const uint64_t mask = width == 64 ? ~uint64_t{0} : (uint64_t{1} << width) - 1;
  bits &= mask;
  if constexpr (std::is_integral_v<Port>) {
    port = static_cast<Port>((port & ~(mask << at)) | (bits << at));
  } else {
    for (int i = 0; i < width; i++) {
      const uint32_t one = uint32_t{1} << ((at + i) % 32);
      auto &word = port[(at + i) / 32];
      word = (bits >> i) & 1 ? word | one : word & ~one;
    }
  }
}

template <class Port>
uint64_t get(const Port &port, int at, int width) {
  if constexpr (std::is_integral_v<Port>) {
    return (uint64_t{port} >> at) & (width == 64 ? ~uint64_t{0} : (uint64_t{1} << width) - 1);
  } else {
    uint64_t bits = 0;
    for (int i = 0; i < width; i++)
      bits |= uint64_t{(port[(at + i) / 32] >> ((at + i) % 32)) & 1} << i;
    return bits;
  }
}

int bits_for(int values) {  // $clog2
  int bits = 0;
  while ((int64_t{1} << bits) < values) bits++;
  return bits;
}

bool read_all(void *to, size_t bytes) { return std::fread(to, 1, bytes, stdin) == bytes; }

template <class T>
std::vector<T> array(size_t count) {
  std::vector<T> values(count);
  if (count && !read_all(values.data(), count * sizeof(T))) {
    std::fprintf(stderr, "the input ends within a tile\n");
    std::exit(2);
  }
  return values;
}

struct Header {
  char name[64];
  int32_t beats, groups, candidates, keep1_words, keep2_words, inputs, outputs;
  int32_t fraction, dw_last, cycles, macs;
};

struct Tile {
  Header h;
  // The stream.
  std::vector<int32_t> count, group, arrival;               // of each beat
  std::vector<int32_t> mid, weight, alone;                  // of each candidate
  std::vector<int32_t> base1, base2, input_at, out, is_bias;  // of each group
  // What each PE holds, [word][PE].
  std::vector<uint16_t> keep1, keep2, inputs;
  // What must happen.
  std::vector<int32_t> cycle;   // of each beat
  std::vector<uint8_t> levels;  // [beat][PE][lane]
  std::vector<int32_t> retire;  // [PE][group]
  std::vector<int64_t> psums;   // [PE][output]
};

bool read_tile(Tile &t, int pes, int lanes) {
  if (!read_all(&t.h, sizeof t.h)) return false;
  const size_t b = t.h.beats, g = t.h.groups, n = t.h.candidates, p = pes;
  for (auto *field : {&t.count, &t.group, &t.arrival}) *field = array<int32_t>(b);
  for (auto *field : {&t.mid, &t.weight, &t.alone}) *field = array<int32_t>(n);
  for (auto *field : {&t.base1, &t.base2, &t.input_at, &t.out, &t.is_bias})
    *field = array<int32_t>(g);
  t.keep1 = array<uint16_t>(t.h.keep1_words * p);
  t.keep2 = array<uint16_t>(t.h.keep2_words * p);
  t.inputs = array<uint16_t>(t.h.inputs * p);
  t.cycle = array<int32_t>(b);
  t.levels = array<uint8_t>(b * p * lanes);
  t.retire = array<int32_t>(p * g);
  t.psums = array<int64_t>(p * t.h.outputs);
  return true;
}

struct Bench {
  VerilatedContext context;
  Varchon_array dut{&context};
  int faults = 0;
  const char *name = "";
  uint64_t cycles = 0, beats = 0, stalls = 0, waits = 0;

  void fault(const char *what, int cycle, int pe, int at, int64_t found, int64_t expected) {
    if (++faults <= MOST_FAULTS)
      std::fprintf(stderr, "%s: %s in cycle %d, PE %d, %d: %" PRId64 ", expected %" PRId64 "\n",
                   name, what, cycle, pe, at, found, expected);
  }

  void clock() {
    dut.clk = 1;
    dut.eval();
    dut.clk = 0;
    dut.eval();
  }

  // One word a cycle into the same place of each PE's buffer.
  void load(CData &strobe, const std::vector<uint16_t> &words) {
    for (size_t at = 0; at < words.size() / PES; at++) {
      strobe = 1;
      dut.write_at = at;
      for (int p = 0; p < PES; p++) put(dut.write_bits, 16 * p, 16, words[at * PES + p]);
      clock();
    }
    strobe = 0;
  }

  void offer(const Tile &t, int beat, int first) {
    const int group = t.group[beat];
    dut.valid = 1;
    dut.last = beat + 1 == t.h.beats || t.group[beat + 1] != group;
    dut.count = t.count[beat];
    for (int i = 0; i < t.count[beat]; i++) {
      put(dut.index, i * INDEX_BITS, INDEX_BITS, t.mid[first + i]);
      put(dut.value, i * VALUE_BITS, VALUE_BITS, t.weight[first + i]);
      put(dut.alone, i, 1, t.alone[first + i]);
    }
    dut.base1 = t.base1[group];
    dut.base2 = t.base2[group];
    dut.input_at = t.input_at[group];
    dut.out = t.out[group];
    dut.is_bias = t.is_bias[group];
  }

  // The levels at the beginning of a cycle: those after the last beat, less a pop a cycle.
  void compare_levels(const Tile &t, int cycle, int sent) {
    constexpr int WORDS = PES * LANES;
    const int width = bits_for(DEPTH + 1);
    const int since = sent ? cycle - 1 - t.cycle[sent - 1] : 0;
    for (int i = 0; i < WORDS; i++) {
      const int after = sent ? t.levels[(size_t)(sent - 1) * WORDS + i] : 0;
      const int expected = after > since ? after - since : 0;
      const int found = (int)get(dut.level, i * width, width);
      if (found != expected) fault("FIFO level", cycle, i / LANES, i % LANES, found, expected);
    }
  }

  void run(const Tile &t) {
    name = t.h.name;
    load(dut.write_keep1, t.keep1);
    load(dut.write_keep2, t.keep2);
    load(dut.write_input, t.inputs);
    dut.fraction = t.h.fraction;
    dut.dw_last = t.h.dw_last;
    dut.restart = 1;
    clock();
    dut.restart = 0;
    std::vector<int> next(PES, 0);  // group that each PE retires next
    int beat = 0, first = 0, macs = 0;
    // Three cycles more, in which the last products arrive and nothing else may happen.
    for (int cycle = 0; cycle < t.h.cycles + 3 && faults < MOST_FAULTS; cycle++) {
      compare_levels(t, cycle, beat);
      dut.valid = 0;
      if (beat < t.h.beats) {
        if (t.arrival[beat] <= cycle)
          offer(t, beat, first);
        else
          waits++;
      }
      dut.eval();
      const bool due = beat < t.h.beats && t.cycle[beat] == cycle;
      if (dut.accept != due) fault("beat", cycle, -1, beat, dut.accept, due);
      if (dut.stall != (dut.valid && !due)) fault("stall", cycle, -1, beat, dut.stall, !due);
      stalls += dut.stall;
      for (int p = 0; p < PES; p++) {
        const int group = next[p];
        const bool now = group < t.h.groups && t.retire[(size_t)p * t.h.groups + group] == cycle;
        const bool found = get(dut.retire, p, 1);
        if (found != now) fault("retirement", cycle, p, group, found, now);
        next[p] += found;
        macs += (int)get(dut.multiply, p, 1);
      }
      if (dut.accept && beat < t.h.beats) first += t.count[beat++];
      clock();
    }
    dut.valid = 0;
    if (beat != t.h.beats) fault("beats", t.h.cycles, -1, 0, beat, t.h.beats);
    for (int p = 0; p < PES; p++)
      if (next[p] != t.h.groups) fault("groups", t.h.cycles, p, 0, next[p], t.h.groups);
    if (macs != t.h.macs) fault("multiplications", t.h.cycles, -1, 0, macs, t.h.macs);
    read_psums(&t);
    cycles += t.h.cycles;
    beats += t.h.beats;
  }

  // Read, and thereby clear, all partial sums.
  void read_psums(const Tile *t) {
    for (int o = 0; o < OUTPUTS; o++) {
      dut.read = 1;
      dut.read_out = o;
      dut.eval();
      for (int p = 0; t && o < t->h.outputs && p < PES; p++) {
        const int unused = 64 - PSUM_BITS;
        const auto found = (int64_t)(get(dut.psum, p * PSUM_BITS, PSUM_BITS) << unused) >> unused;
        const int64_t expected = t->psums[(size_t)p * t->h.outputs + o];
        if (found != expected) fault("partial sum", t->h.cycles, p, o, found, expected);
      }
      clock();
    }
    dut.read = 0;
  }
};

}  // namespace

int main() {
  auto bench = std::make_unique<Bench>();
  bench->dut.rst = 1;
  bench->clock();
  bench->clock();
  bench->dut.rst = 0;
  bench->read_psums(nullptr);
  Tile tile;
  int tiles = 0;
  while (!bench->faults && read_tile(tile, PES, LANES)) {
    bench->run(tile);
    tiles++;
  }
  std::printf("%d %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", tiles, bench->cycles,
              bench->beats, bench->stalls, bench->waits);
  return bench->faults ? 1 : 0;
}
