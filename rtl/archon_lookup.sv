// The survivor look-up of one PE: two keep bits for each candidate of a beat.
//
// The buffer is written word by word between tiles and read at 2 x CANDIDATES places in a cycle, each of
// its own. A candidate that needs one of the two bits only has `first_free` set (b2's terms).
module archon_lookup #(
    parameter int CANDIDATES      = 24,
    parameter int KEEP1_BITS = 2048,
    parameter int KEEP2_BITS = 512,
    localparam int ADDR1 = $clog2(KEEP1_BITS),
    localparam int ADDR2 = $clog2(KEEP2_BITS)
) (
    input  logic                        clk,
    input  logic                        write1,
    input  logic                        write2,
    input  logic [ADDR1-5:0]            word,
    input  logic [15:0]                 bits,
    input  logic [CANDIDATES-1:0]            there,
    input  logic [CANDIDATES-1:0]            first_free,
    input  logic [CANDIDATES-1:0][ADDR1-1:0] first,
    input  logic [CANDIDATES-1:0][ADDR2-1:0] second,
    output logic [CANDIDATES-1:0]            survives
);
  logic [15:0] keep1[KEEP1_BITS/16];
  logic [15:0] keep2[KEEP2_BITS/16];

  always_ff @(posedge clk) begin
    if (write1) keep1[word] <= bits;
    if (write2) keep2[word[ADDR2-5:0]] <= bits;
  end

  for (genvar i = 0; i < CANDIDATES; i++) begin : candidates
    assign survives[i] = there[i] && (first_free[i] || keep1[first[i][ADDR1-1:4]][first[i][3:0]])
        && keep2[second[i][ADDR2-1:4]][second[i][3:0]];
  end
endmodule
