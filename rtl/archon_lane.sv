// One lane of a PE: a FIFO, an adder, and a partial sum for each open group.
//
// Lanes run ahead of each other, so the survivors of several groups are under way at a time: from a
// group's first beat to its retirement it holds one of OPEN tags, which goes through the FIFO with
// each survivor. The lanes' sums of a tag meet in the merge tree when its group has retired.
module archon_lane #(
    parameter int DEPTH      = 5,
    parameter int SLOTS   = 4,
    parameter int OPEN       = 6,
    parameter int VALUE_BITS = 16,
    parameter int ADDER_BITS = 20,
    localparam int TAG   = $clog2(OPEN),
    localparam int LEVEL = $clog2(DEPTH + 1)
) (
    input  logic                                clk,
    input  logic                                rst,
    // The beat's candidates for this lane, if the array takes the beat (`push`).
    input  logic                                push,
    input  logic [SLOTS-1:0]                 survives,
    input  logic [SLOTS*VALUE_BITS-1:0]      value,
    input  logic [TAG-1:0]                     tag,
    output logic                                room,
    // Whether survivors of group `head` stay in the FIFO after this cycle's pop. Entries leave in
    // the order of their groups, so those of the oldest group are in front.
    input  logic [TAG-1:0]                     head,
    output logic                                pending,
    // The merge tree reads the sum of tag `done` and clears it.
    input  logic                                take,
    input  logic [TAG-1:0]                     done,
    output logic [ADDER_BITS-1:0]               sum,
    output logic [LEVEL-1:0]                    level
);
  // An entry is the tag of its group, then its value.
  localparam int ENTRY = TAG + VALUE_BITS;
  logic [SLOTS*ENTRY-1:0] entries;
  logic [ENTRY-1:0] front, next_front;
  logic signed [VALUE_BITS-1:0] front_value;
  logic [TAG-1:0] front_tag;
  logic popped, left;
  logic [ADDER_BITS-1:0] sums[OPEN];

  for (genvar i = 0; i < SLOTS; i++) begin : slots
    assign entries[i*ENTRY+:ENTRY] = {tag, value[i*VALUE_BITS+:VALUE_BITS]};
  end
  assign {front_tag, front_value} = front;

  archon_fifo #(
      .DEPTH (DEPTH),
      .PUSHES(SLOTS),
      .WIDTH (ENTRY)
  ) fifo (
      .clk,
      .rst,
      .push,
      .some(survives),
      .entries,
      .room,
      .popped,
      .front,
      .left,
      .next_front,
      .level
  );

  assign pending = left && next_front[ENTRY-1:VALUE_BITS] == head;
  assign sum = sums[done];

  // A sum is cleared in the cycle after its group retires. Its next group's first survivor is
  // popped later than that, so the two never meet in one sum.
  always_ff @(posedge clk) begin
    if (popped) sums[front_tag] <= sums[front_tag] + ADDER_BITS'(front_value);
    if (take) sums[done] <= '0;
    if (rst) for (int s = 0; s < OPEN; s++) sums[s] <= '0;
  end
endmodule
