// The multiplier of a PE and its partial sums: one group a cycle.
//
// Three steps behind a retirement: the product (a bias group's sum is shifted to where a product's
// point is, since its input is the constant 1), then the sum of its output channel.
module archon_mac #(
    parameter int ADDER_BITS = 20,
    parameter int INPUT_BITS = 16,
    parameter int PSUM_BITS  = 48,
    parameter int OUTPUTS    = 32,
    localparam int OUT = $clog2(OUTPUTS)
) (
    input  logic                         clk,
    input  logic                         rst,
    input  logic                         valid,
    input  logic                         is_bias,
    input  logic signed [ADDER_BITS-1:0] sum,
    input  logic signed [INPUT_BITS-1:0] x,
    input  logic [$clog2(INPUT_BITS)-1:0] fraction,
    input  logic [OUT-1:0]               out,
    // Another port reads the partial sums of a finished tile, and clears what it reads.
    input  logic                         read,
    input  logic [OUT-1:0]               read_out,
    output logic [PSUM_BITS-1:0]         psum
);
  localparam int PRODUCT = ADDER_BITS + INPUT_BITS;
  logic signed [PRODUCT-1:0] product;
  logic                      product_valid;
  logic [OUT-1:0]            product_out;
  logic [PSUM_BITS-1:0]      psums[OUTPUTS];

  assign psum = psums[read_out];

  always_ff @(posedge clk) begin
    product_valid <= valid && !rst;
    product_out <= out;
    product <= is_bias ? PRODUCT'(sum) << fraction : PRODUCT'(sum) * PRODUCT'(x);
    if (read) psums[read_out] <= '0;
    else if (product_valid)
      psums[product_out] <= psums[product_out] + PSUM_BITS'(product);
  end
endmodule
