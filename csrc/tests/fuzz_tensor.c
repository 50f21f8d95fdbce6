/* Fuzzes the check of tensors: the first bytes of an input are entries, the rest
 * is the shard. Whatever the window, the results are the same. */
#include "make_tensor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t fuzz_seed(unsigned i, uint8_t *to, size_t capacity);

static void require(bool condition) {
  if (!condition)
    abort();
}

#define N_TENSORS 4
#define ENTRY 16

/* 16 bytes: crc, offset and size (u32), elements, kind; small numbers mostly. */
static fsm_tensor entry_at(const uint8_t *p) {
  return (fsm_tensor){
      .crc32c = fsm_load32(p),
      .offset = fsm_load32(p + 4),
      .size = fsm_load32(p + 8),
      .n_elements = p[14] & 0x80 ? UINT64_MAX >> p[12] % 64 : fsm_load32(p + 12) & 0xffff,
      .kind = p[15] % 4,
  };
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fsm_tensor tensors[N_TENSORS];
  fsm_tensor_result first[N_TENSORS], second[N_TENSORS];
  static uint8_t window[1 << 16];
  fsm_piece piece;
  fsm_src src;
  if (size < N_TENSORS * ENTRY)
    return 0;
  for (size_t i = 0; i < N_TENSORS; i++)
    tensors[i] = entry_at(data + i * ENTRY);
  size_t n = size - N_TENSORS * ENTRY;
  uint8_t *shard = malloc(n ? n : 1);
  require(shard != NULL);
  memcpy(shard, data + N_TENSORS * ENTRY, n);
  fsm_src_memory(&src, &piece, shard, n);
  bool big_endian = data[14] & 0x40;
  fsm_tensors_check(&src, tensors, N_TENSORS, big_endian, window, sizeof window, first);
  fsm_tensors_check(&src, tensors, N_TENSORS, big_endian, window, 7, second);
  require(memcmp(first, second, sizeof first) == 0);
  for (size_t i = 0; i < N_TENSORS; i++) {
    require(first[i].status <= FSM_TENSOR_UNREAD);
    require(first[i].status != FSM_TENSOR_OK || tensors[i].size <= n);
  }
  free(shard);
  return 0;
}

/* Sound tensors, each kind in its turn at the head. */
size_t fuzz_seed(unsigned i, uint8_t *to, size_t capacity) {
  static const char *const words[] = {"one", "", "three times three", "four"};
  buffer file = {0}, seed = {0};
  fsm_tensor t[N_TENSORS];
  if (i >= 8)
    return 0;
  for (unsigned j = 0; j < N_TENSORS; j++) {
    unsigned kind = (i + j) % 4;
    t[j] = kind == FSM_TENSOR_STRING    ? put_strings(&file, words, 4, i > 3)
           : kind == FSM_TENSOR_VARIANT ? put_variants(&file, words, 4, i > 3)
                                        : put_dense(&file, "\0\1\1\0", 4, kind);
  }
  for (unsigned j = 0; j < N_TENSORS; j++) {
    put_u32(&seed, t[j].crc32c);
    put_u32(&seed, (uint32_t)t[j].offset);
    put_u32(&seed, (uint32_t)t[j].size);
    put_u32(&seed, (uint32_t)t[j].n_elements | (i > 3 ? 0x400000u : 0) | t[j].kind << 24);
  }
  put(&seed, file.p, file.size);
  size_t n = seed.size < capacity ? seed.size : capacity;
  memcpy(to, seed.p, n);
  clear(&file);
  clear(&seed);
  return n;
}
