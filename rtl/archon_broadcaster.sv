// The broadcaster: deals a beat's candidates out to lanes and gives each group a tag.
//
// Candidate j of a beat goes to lane (start + j) mod LANES. With ROTATE, `start` is the lane behind
// the last one used in the tile; otherwise it is always 0. The group header says where the keep bits
// of the group's tap lie, so a candidate's address is its channel's plus that.
module archon_broadcaster #(
    parameter int LANES      = 6,
    parameter int SLOTS      = 4,
    parameter int OPEN       = 6,
    parameter int ROTATE     = 1,
    parameter int VALUE_BITS = 16,
    parameter int INDEX_BITS = 10,
    parameter int ADDR1      = 11,
    parameter int ADDR2      = 9,
    localparam int WIDTH = LANES * SLOTS,
    localparam int COUNT = $clog2(WIDTH + 1),
    localparam int TAG   = $clog2(OPEN)
) (
    input  logic                                       clk,
    input  logic                                       restart,  // before a tile's first beat
    input  logic                                       accept,   // the array takes this beat
    input  logic                                       last,     // it is its group's last
    input  logic [COUNT-1:0]                           count,
    input  logic [WIDTH-1:0][INDEX_BITS-1:0]           index,    // m of each candidate
    input  logic [WIDTH-1:0][VALUE_BITS-1:0]           value,
    input  logic [WIDTH-1:0]                           alone,    // needs keep2 only
    input  logic [ADDR1-1:0]                           base1,    // of keep1 at the group's tap
    input  logic [ADDR2-1:0]                           base2,    // DW last: of keep2
    input  logic                                       dw_last,
    // To lane n, place i: candidate (n - start) mod LANES + i * LANES.
    output logic [LANES-1:0][SLOTS-1:0]                there,
    output logic [LANES-1:0][SLOTS-1:0]                first_free,
    output logic [LANES-1:0][SLOTS-1:0][ADDR1-1:0]     first,
    output logic [LANES-1:0][SLOTS-1:0][ADDR2-1:0]     second,
    output logic [LANES-1:0][SLOTS-1:0][VALUE_BITS-1:0] to_lane,
    output logic [TAG-1:0]                             tag       // of the beat's group
);
  localparam int LANE = LANES > 1 ? $clog2(LANES) : 1;
  logic [LANE-1:0] start;
  logic [LANE-1:0] origin;

  assign origin = ROTATE != 0 ? start : '0;

  always_ff @(posedge clk) begin
    if (restart) begin
      start <= '0;
      tag   <= '0;
    end else if (accept) begin
      start <= LANE'((int'(start) + int'(count)) % LANES);
      if (last) tag <= tag == TAG'(OPEN - 1) ? '0 : tag + TAG'(1);
    end
  end

  always_comb begin
    for (int n = 0; n < LANES; n++) begin
      for (int i = 0; i < SLOTS; i++) begin
        automatic int j = (n + LANES - int'(origin)) % LANES + i * LANES;
        there[n][i] = j < int'(count);
        first_free[n][i] = alone[j];
        first[n][i] = base1 + ADDR1'(index[j]);
        second[n][i] = dw_last ? base2 : ADDR2'(index[j]);
        to_lane[n][i] = value[j];
      end
    end
  end
endmodule
