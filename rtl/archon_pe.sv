// One PE: survivor look-up, lanes, retirement, merge tree, multiplier and pads.
//
// A beat is looked up, and pushed if the array takes it, in one cycle; each lane pops and adds in
// one cycle; a retired group's sums are merged in the next one, multiplied in the one after that,
// and are in the partial sums a cycle later. This pipeline delays no retirement.
module archon_pe #(
    parameter int LANES      = 6,
    parameter int SLOTS      = 4,
    parameter int DEPTH      = 5,
    parameter int OPEN       = 6,
    parameter int VALUE_BITS = 16,
    parameter int ADDER_BITS = 20,
    parameter int INPUT_BITS = 16,
    parameter int PSUM_BITS  = 48,
    parameter int KEEP1_BITS = 2048,
    parameter int KEEP2_BITS = 512,
    parameter int INPUTS     = 16,
    parameter int OUTPUTS    = 32,
    localparam int ADDR1 = $clog2(KEEP1_BITS),
    localparam int ADDR2 = $clog2(KEEP2_BITS),
    localparam int INPUT = $clog2(INPUTS),
    localparam int OUT   = $clog2(OUTPUTS),
    localparam int LEVEL = $clog2(DEPTH + 1),
    localparam int TAG   = $clog2(OPEN)
) (
    input  logic                                        clk,
    input  logic                                        rst,
    input  logic                                        restart,
    // Buffers and pads, written between tiles.
    input  logic                                        write_keep1,
    input  logic                                        write_keep2,
    input  logic                                        write_input,
    input  logic [15:0]                                 write_at,
    input  logic [15:0]                                 write_bits,
    // The beat, as the broadcaster deals it out.
    input  logic                                        accept,
    input  logic                                        last,
    input  logic [LANES-1:0][SLOTS-1:0]                 there,
    input  logic [LANES-1:0][SLOTS-1:0]                 first_free,
    input  logic [LANES-1:0][SLOTS-1:0][ADDR1-1:0]      first,
    input  logic [LANES-1:0][SLOTS-1:0][ADDR2-1:0]      second,
    input  logic [LANES-1:0][SLOTS-1:0][VALUE_BITS-1:0] value,
    input  logic [TAG-1:0]                              tag,
    output logic                                        room,
    // What is known of each open group that has ended.
    input  logic [OPEN-1:0]                             is_bias,
    input  logic [OPEN-1:0][INPUT-1:0]                  input_at,
    input  logic [OPEN-1:0][OUT-1:0]                    out,
    input  logic [$clog2(INPUT_BITS)-1:0]               fraction,
    // Results.
    input  logic                                        read,
    input  logic [OUT-1:0]                              read_out,
    output logic [PSUM_BITS-1:0]                        psum,
    output logic                                        retire,
    output logic                                        multiply,
    output logic [LANES-1:0][LEVEL-1:0]                 level
);
  /* verilator hier_block */  // compiled once, or 64 copies take minutes
  logic [LANES-1:0][SLOTS-1:0] survives;
  logic [LANES-1:0] lane_room, lane_pending;
  logic [LANES-1:0][ADDER_BITS-1:0] lane_sum;
  logic [ADDER_BITS-1:0] merged;
  logic [TAG-1:0] head, done;
  logic some, taken, taken_some;
  logic signed [INPUT_BITS-1:0] inputs[INPUTS];

  archon_lookup #(
      .CANDIDATES(LANES * SLOTS),
      .KEEP1_BITS(KEEP1_BITS),
      .KEEP2_BITS(KEEP2_BITS)
  ) lookup (
      .clk,
      .write1(write_keep1),
      .write2(write_keep2),
      .word(write_at[ADDR1-5:0]),
      .bits(write_bits),
      .there,
      .first_free,
      .first,
      .second,
      .survives
  );

  for (genvar n = 0; n < LANES; n++) begin : lanes
    archon_lane #(
        .DEPTH(DEPTH),
        .SLOTS(SLOTS),
        .OPEN(OPEN),
        .VALUE_BITS(VALUE_BITS),
        .ADDER_BITS(ADDER_BITS)
    ) lane (
        .clk,
        .rst,
        .push(accept),
        .survives(survives[n]),
        .value(value[n]),
        .tag,
        .room(lane_room[n]),
        .head,
        .pending(lane_pending[n]),
        .take(taken),
        .done,
        .sum(lane_sum[n]),
        .level(level[n])
    );
  end
  assign room = &lane_room;

  archon_retire #(
      .OPEN(OPEN)
  ) retirement (
      .clk,
      .restart,
      .pushed(accept && |survives),
      .end_out(accept && last),
      .tag,
      .pending(|lane_pending),
      .head,
      .retire,
      .some
  );

  archon_merge #(
      .LANES(LANES),
      .ADDER_BITS(ADDER_BITS)
  ) merge (
      .sums(lane_sum),
      .sum(merged)
  );

  // The group that has retired meets its input.
  logic signed [ADDER_BITS-1:0] mac_sum;
  logic signed [INPUT_BITS-1:0] mac_input;
  logic mac_valid, mac_bias;
  logic [OUT-1:0] mac_out;

  always_ff @(posedge clk) begin
    taken <= retire && !rst;
    taken_some <= some;
    done <= head;
    mac_valid <= taken && taken_some && !rst;
    mac_sum <= merged;
    mac_input <= inputs[input_at[done]];
    mac_bias <= is_bias[done];
    mac_out <= out[done];
    if (write_input) inputs[write_at[INPUT-1:0]] <= write_bits;
  end
  assign multiply = mac_valid && !mac_bias;

  archon_mac #(
      .ADDER_BITS(ADDER_BITS),
      .INPUT_BITS(INPUT_BITS),
      .PSUM_BITS(PSUM_BITS),
      .OUTPUTS(OUTPUTS)
  ) mac (
      .clk,
      .rst,
      .valid(mac_valid),
      .is_bias(mac_bias),
      .sum(mac_sum),
      .x(mac_input),
      .fraction,
      .out(mac_out),
      .read,
      .read_out,
      .psum
  );
endmodule
