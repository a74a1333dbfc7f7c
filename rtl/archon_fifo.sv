// The FIFO before one adder: up to PUSHES entries in and one entry out in a cycle.
//
// In a cycle the entry at the front leaves first; then what is pushed goes behind the rest. So an
// entry that is pushed in cycle t leaves in cycle t + 1 at the earliest, and a beat fits if it does
// after the pop, which `room` says; the array pushes where all its FIFOs have room.
//
// The entries shift: `held[0]` is the front. What is pushed is packed first, then placed.
module archon_fifo #(
    parameter int DEPTH  = 5,
    parameter int PUSHES = 4,   // at most DEPTH
    parameter int WIDTH  = 19,
    localparam int LEVEL = $clog2(DEPTH + 1),
    localparam int PLACE = PUSHES > 1 ? $clog2(PUSHES) : 1
) (
    input  logic                         clk,
    input  logic                         rst,
    input  logic                         push,       // this cycle: all of `entries` where `some`
    input  logic [PUSHES-1:0]            some,
    input  logic [PUSHES*WIDTH-1:0]      entries,
    output logic                         room,       // for all of them, after the pop
    output logic                         popped,     // `front` leaves in this cycle
    output logic [WIDTH-1:0]             front,
    output logic                         left,       // `next_front` is in front after the pop
    output logic [WIDTH-1:0]             next_front,
    output logic [LEVEL-1:0]             level       // before the pop
);
  logic [WIDTH-1:0] held[DEPTH];
  logic [WIDTH-1:0] added[PUSHES];
  logic [LEVEL-1:0] level_left, pushed;

  assign popped = level != 0;
  assign front = held[0];
  assign next_front = held[1%DEPTH];  // not `left` where there is only one
  assign level_left = popped ? level - LEVEL'(1) : level;
  assign left = level_left != 0;
  assign room = pushed <= LEVEL'(DEPTH) - level_left;

  always_comb begin
    pushed = '0;
    for (int i = 0; i < PUSHES; i++) added[i] = '0;
    for (int i = 0; i < PUSHES; i++) begin
      if (some[i]) begin
        added[PLACE'(pushed)] = entries[i*WIDTH+:WIDTH];
        pushed = pushed + LEVEL'(1);
      end
    end
  end

  always_ff @(posedge clk) level <= rst ? '0 : push ? level_left + pushed : level_left;

  for (genvar at = 0; at < DEPTH; at++) begin : places
    always_ff @(posedge clk) begin
      if (push && LEVEL'(at) >= level_left) held[at] <= added[PLACE'(LEVEL'(at)-level_left)];
      else if (popped) held[at] <= held[(at+1)%DEPTH];  // what comes around is not in use
    end
  end
endmodule
