// Parts of a PE by themselves, whose cells rtl/area.py counts; no part of the array.

// A multiplier with its accumulator, as the authors count a MAC: without the pads around it.
module area_mac #(
    parameter int ADDER_BITS = 16,
    parameter int INPUT_BITS = 16
) (
    input  logic                                    clk,
    input  logic signed [ADDER_BITS-1:0]            sum,
    input  logic signed [INPUT_BITS-1:0]            x,
    input  logic signed [ADDER_BITS+INPUT_BITS-1:0] psum,
    output logic signed [ADDER_BITS+INPUT_BITS-1:0] result
);
  always_ff @(posedge clk) result <= psum + sum * x;
endmodule

// What is left of a look-up if each candidate's bits stand ready: the AND of them.
module area_and #(
    parameter int CANDIDATES = 24
) (
    input  logic [CANDIDATES-1:0] keep1,
    input  logic [CANDIDATES-1:0] keep2,
    output logic [CANDIDATES-1:0] survives
);
  assign survives = keep1 & keep2;
endmodule

// One candidate that chooses among the bits of one tap and one channel group, wherever these are
// held: the selection alone, for MASKS masks whose selected bits are ANDed.
module area_select #(
    parameter int BITS = 592,
    parameter int MASKS = 2,
    localparam int INDEX = $clog2(BITS)
) (
    input  logic [MASKS*BITS-1:0] held,
    input  logic [INDEX-1:0]      index,
    output logic                  survives
);
  logic [MASKS-1:0] kept;
  for (genvar m = 0; m < MASKS; m++) begin : masks
    logic [BITS-1:0] mask;
    assign mask = held[m*BITS+:BITS];
    assign kept[m] = mask[index];
  end
  assign survives = &kept;
endmodule
