// The main phase's array: a broadcaster and PES PEs in lock-step.
//
// A beat is taken in the cycle in which every lane of every PE has room for its survivors. A PE
// without a pixel holds keep bits of 0 and never lacks room. Everything that leaves here beside the
// partial sums is there for the test bench to look at.
module archon_array #(
    parameter int PES        = 64,
    parameter int LANES      = 6,
    parameter int SLOTS      = 4,   // candidates that a lane takes from one beat
    parameter int DEPTH      = 5,   // FIFO entries a lane, at least SLOTS
    parameter int ROTATE     = 1,
    parameter int VALUE_BITS = 16,
    parameter int INDEX_BITS = 12,
    parameter int ADDER_BITS = 20,
    parameter int INPUT_BITS = 16,
    parameter int PSUM_BITS  = 48,
    parameter int KEEP1_BITS = 2048,  // a multiple of 16, like KEEP2_BITS
    parameter int KEEP2_BITS = 512,
    parameter int INPUTS     = 16,
    parameter int OUTPUTS    = 32,
    // Groups that have begun and not retired: a group retires DEPTH cycles behind its last beat at
    // the latest, and each of these cycles ends one more.
    localparam int OPEN  = DEPTH + 1,
    localparam int WIDTH = LANES * SLOTS,
    localparam int COUNT = $clog2(WIDTH + 1),
    localparam int ADDR1 = $clog2(KEEP1_BITS),
    localparam int ADDR2 = $clog2(KEEP2_BITS),
    localparam int INPUT = $clog2(INPUTS),
    localparam int OUT   = $clog2(OUTPUTS),
    localparam int LEVEL = $clog2(DEPTH + 1),
    localparam int TAG   = $clog2(OPEN)
) (
    input  logic                                  clk,
    input  logic                                  rst,
    input  logic                                  restart,     // before a tile's first beat
    input  logic                                  write_keep1,
    input  logic                                  write_keep2,
    input  logic                                  write_input,
    input  logic [15:0]                           write_at,
    input  logic [PES-1:0][15:0]                  write_bits,
    // One beat, and the header of its group.
    input  logic                                  valid,
    input  logic                                  last,
    input  logic [COUNT-1:0]                      count,
    input  logic [WIDTH-1:0][INDEX_BITS-1:0]      index,
    input  logic [WIDTH-1:0][VALUE_BITS-1:0]      value,
    input  logic [WIDTH-1:0]                      alone,
    input  logic [ADDR1-1:0]                      base1,
    input  logic [ADDR2-1:0]                      base2,
    input  logic                                  dw_last,
    input  logic                                  is_bias,
    input  logic [INPUT-1:0]                      input_at,
    input  logic [OUT-1:0]                        out,
    input  logic [$clog2(INPUT_BITS)-1:0]         fraction,
    output logic                                  accept,
    output logic                                  stall,
    output logic [PES-1:0]                        retire,
    output logic [PES-1:0]                        multiply,
    output logic [PES-1:0][LANES-1:0][LEVEL-1:0]  level,
    input  logic                                  read,
    input  logic [OUT-1:0]                        read_out,
    output logic [PES-1:0][PSUM_BITS-1:0]         psum
);
  logic [LANES-1:0][SLOTS-1:0] there, first_free;
  logic [LANES-1:0][SLOTS-1:0][ADDR1-1:0] first;
  logic [LANES-1:0][SLOTS-1:0][ADDR2-1:0] second;
  logic [LANES-1:0][SLOTS-1:0][VALUE_BITS-1:0] to_lane;
  logic [TAG-1:0] tag;
  logic [PES-1:0] room;
  // Of each tag, what the multiplier must know of the group.
  logic [OPEN-1:0] group_is_bias;
  logic [OPEN-1:0][INPUT-1:0] group_input_at;
  logic [OPEN-1:0][OUT-1:0] group_out;

  assign accept = valid && &room;
  assign stall  = valid && !(&room);

  always_ff @(posedge clk) begin
    if (accept && last) begin
      group_is_bias[tag]  <= is_bias;
      group_input_at[tag] <= input_at;
      group_out[tag]      <= out;
    end
  end

  archon_broadcaster #(
      .LANES(LANES),
      .SLOTS(SLOTS),
      .OPEN(OPEN),
      .ROTATE(ROTATE),
      .VALUE_BITS(VALUE_BITS),
      .INDEX_BITS(INDEX_BITS),
      .ADDR1(ADDR1),
      .ADDR2(ADDR2)
  ) broadcaster (
      .clk,
      .restart(restart || rst),
      .accept,
      .last,
      .count,
      .index,
      .value,
      .alone,
      .base1,
      .base2,
      .dw_last,
      .there,
      .first_free,
      .first,
      .second,
      .to_lane,
      .tag
  );

  for (genvar p = 0; p < PES; p++) begin : pes
    archon_pe #(
        .LANES(LANES),
        .SLOTS(SLOTS),
        .DEPTH(DEPTH),
        .OPEN(OPEN),
        .VALUE_BITS(VALUE_BITS),
        .ADDER_BITS(ADDER_BITS),
        .INPUT_BITS(INPUT_BITS),
        .PSUM_BITS(PSUM_BITS),
        .KEEP1_BITS(KEEP1_BITS),
        .KEEP2_BITS(KEEP2_BITS),
        .INPUTS(INPUTS),
        .OUTPUTS(OUTPUTS)
    ) pe (
        .clk,
        .rst,
        .restart(restart || rst),
        .write_keep1,
        .write_keep2,
        .write_input,
        .write_at,
        .write_bits(write_bits[p]),
        .accept,
        .last,
        .there,
        .first_free,
        .first,
        .second,
        .value(to_lane),
        .tag,
        .room(room[p]),
        .is_bias(group_is_bias),
        .input_at(group_input_at),
        .out(group_out),
        .fraction,
        .read,
        .read_out,
        .psum(psum[p]),
        .retire(retire[p]),
        .multiply(multiply[p]),
        .level(level[p])
    );
  end
endmodule
