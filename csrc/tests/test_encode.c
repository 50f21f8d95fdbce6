#include "check.h"
#include "fsm_encode.h"

static void varints_are_minimal_and_read_back(void) {
  const struct {
    uint64_t value;
    unsigned size;
  } cases[] = {{0, 1},       {127, 1},          {128, 2},
               {16383, 2},   {16384, 3},        {UINT32_MAX, 5},
               {1ull << 62, 9}, {1ull << 63, 10}, {UINT64_MAX, 10}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    uint8_t bytes[FSM_MAX_VARINT_BYTES];
    const uint8_t *p = bytes;
    uint64_t back;
    CHECK_EQ(fsm_varint_size(cases[i].value), cases[i].size);
    CHECK_EQ(fsm_write_varint(bytes, cases[i].value), cases[i].size);
    CHECK_EQ(fsm_read_varint(&p, bytes + cases[i].size, &back), FSM_OK);
    CHECK_EQ(back, cases[i].value);
    CHECK(fsm_is_minimal(bytes, p));
  }
}

/* Each field takes as many bytes as it was said to. */
static void fields_are_as_protobuf_writes_them(void) {
  uint8_t bytes[64], *end = bytes;
  end = fsm_put_number(end, 1, 300);
  end = fsm_put_delimited(end, 2, "abc", 3);
  end = fsm_put_fixed32(end, 6, 0x01020304);
  end = fsm_put_number(end, 16, (uint64_t)-1);
  end = fsm_put_delimited(end, 3, NULL, 0);
  const uint8_t want[] = "\x08\xac\x02\x12\x03" "abc" "\x35\x04\x03\x02\x01"
                         "\x80\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x1a\x00";
  CHECK_BYTES(bytes, end - bytes, want, sizeof want - 1);
  CHECK_EQ(end - bytes, fsm_size_number(1, 300) + fsm_size_delimited(2, 3) +
                            fsm_size_fixed32(6, 1) + fsm_size_number(16, UINT64_MAX) +
                            fsm_size_delimited(3, 0));
}

static void zeros_are_left_out(void) {
  uint8_t byte = 7;
  CHECK_EQ(fsm_size_number(1, 0) + fsm_size_fixed32(6, 0), 0);
  CHECK(fsm_put_number(&byte, 1, 0) == &byte && fsm_put_fixed32(&byte, 6, 0) == &byte);
  CHECK_EQ(byte, 7);
}

static void fixed_numbers_are_little_endian(void) {
  uint8_t bytes[12];
  CHECK(fsm_put64(fsm_put32(bytes, 0x80000001), 0x1122334455667788) == bytes + 12);
  CHECK_EQ(fsm_load32(bytes), 0x80000001);
  CHECK_EQ(fsm_load64(bytes + 4), 0x1122334455667788);
}

int main(void) {
  RUN(varints_are_minimal_and_read_back);
  RUN(fields_are_as_protobuf_writes_them);
  RUN(zeros_are_left_out);
  RUN(fixed_numbers_are_little_endian);
  return check_report();
}
