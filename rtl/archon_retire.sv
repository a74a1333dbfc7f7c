// In-order retirement of one PE: one group a cycle, the oldest first.
//
// A group may retire in a cycle when its last beat is out (this cycle's included), and no survivor
// of it is left in a FIFO behind this cycle's pops. What a beat pushes in this cycle is popped in
// the next one at the earliest.
module archon_retire #(
    parameter int OPEN = 6,
    localparam int TAG   = $clog2(OPEN),
    localparam int COUNT = $clog2(OPEN + 1)
) (
    input  logic           clk,
    input  logic           restart,
    input  logic           pushed,    // this cycle's beat is taken and has a survivor in this PE
    input  logic           end_out,   // this cycle's beat is taken and is its group's last
    input  logic [TAG-1:0] tag,       // of that group
    input  logic           pending,   // survivors of group `head` stay in FIFOs
    output logic [TAG-1:0] head,      // the oldest group that has not retired
    output logic           retire,    // this cycle
    output logic           some       // and it had a survivor in this PE
);
  logic [COUNT-1:0] complete;  // groups whose last beat went out before, and which wait
  logic [OPEN-1:0]  any;       // whether the group of a tag has had a survivor

  assign retire = !pending && (complete != 0 || (end_out && !pushed));
  assign some = any[head];

  always_ff @(posedge clk) begin
    if (restart) begin
      head <= '0;
      complete <= '0;
      any <= '0;
    end else begin
      complete <= complete + COUNT'(end_out) - COUNT'(retire);
      if (retire) begin
        head <= head == TAG'(OPEN - 1) ? '0 : head + TAG'(1);
        any[head] <= 1'b0;
      end
      if (pushed) any[tag] <= 1'b1;
    end
  end
endmodule
