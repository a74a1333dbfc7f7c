// The merge tree: the lanes' partial sums of one group, added up in two's complement.
module archon_merge #(
    parameter int LANES = 6,
    parameter int ADDER_BITS = 20
) (
    input  logic [LANES*ADDER_BITS-1:0] sums,
    output logic [ADDER_BITS-1:0]       sum
);
  always_comb begin
    sum = '0;
    for (int i = 0; i < LANES; i++) sum = sum + sums[i*ADDER_BITS+:ADDER_BITS];
  end
endmodule
