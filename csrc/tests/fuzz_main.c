/* A driver for LLVMFuzzerTestOneInput where there is no libFuzzer: mutates
 * seeds with fixed randomness, so that a run can be repeated, and leaves
 * finding faults to the sanitizers.
 *
 *   fuzz_x [-seconds=N] [-runs=N] [-seed=N] [FILE ...]
 *
 * Each seed runs once as it is. The same arguments with -runs give the same
 * inputs; a sanitizer's report ends the run with an exit status of its own. */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The i-th seed a fuzzer makes for itself: its size, 0 when there are no more.
 * A fuzzer may define it. */
size_t fuzz_seed(unsigned i, uint8_t *to, size_t capacity);
__attribute__((weak)) size_t fuzz_seed(unsigned i, uint8_t *to, size_t capacity) {
  (void)i, (void)to, (void)capacity;
  return 0;
}

#define MAX_INPUT ((size_t)1 << 16)
#define MAX_SEEDS 1024

typedef struct {
  uint8_t *bytes;
  size_t size;
} input;

static input seeds[MAX_SEEDS];
static size_t n_seeds;
static uint64_t state = 0x9e3779b97f4a7c15u;

static uint64_t next_random(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

static size_t below(size_t n) {
  return n ? (size_t)((next_random() >> 16) % n) : 0;
}

static void add_seed(const uint8_t *bytes, size_t size) {
  if (n_seeds == MAX_SEEDS)
    return;
  seeds[n_seeds].bytes = malloc(size ? size : 1);
  if (!seeds[n_seeds].bytes)
    exit(2);
  memcpy(seeds[n_seeds].bytes, bytes, size);
  seeds[n_seeds++].size = size;
}

static void add_file(const char *path) {
  static uint8_t bytes[MAX_INPUT];
  FILE *f = fopen(path, "rb");
  if (!f) {
    perror(path);
    exit(2);
  }
  add_seed(bytes, fread(bytes, 1, sizeof bytes, f));
  fclose(f);
}

static void add_made_seeds(void) {
  static uint8_t bytes[MAX_INPUT];
  size_t size;
  for (unsigned i = 0; (size = fuzz_seed(i, bytes, sizeof bytes)); i++)
    add_seed(bytes, size);
  for (size_t i = 0; i < 256; i++)
    bytes[i] = (uint8_t)next_random();
  add_seed(bytes, 0);
  add_seed(bytes, 256);
}

/* ---- mutations: each keeps size within MAX_INPUT ---- */

static void set_bytes(input *in) {
  static const uint8_t telling[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0x08, 0x12, 0x0b, 0x0c};
  size_t at = below(in->size), n = 1 + below(4);
  uint8_t value = below(2) ? telling[below(sizeof telling)] : (uint8_t)next_random();
  for (size_t i = at; i < in->size && i - at < n; i++)
    in->bytes[i] = value;
}

static void flip_bit(input *in) {
  if (in->size)
    in->bytes[below(in->size)] ^= (uint8_t)(1u << below(8));
}

static void step_byte(input *in) {
  if (in->size)
    in->bytes[below(in->size)] += (uint8_t)(below(2) ? 1 : 255);
}

static void cut_out(input *in) {
  size_t at = below(in->size), n = below(below(2) ? 8 : in->size);
  if (n > in->size - at)
    n = in->size - at;
  memmove(in->bytes + at, in->bytes + at + n, in->size - at - n);
  in->size -= n;
}

static void cut_off(input *in) {
  in->size = below(in->size + 1);
}

static void copy_in(input *in) {
  const input *other = &seeds[below(n_seeds)];
  size_t from = below(other->size), at = below(in->size + 1), n = below(64);
  if (n > other->size - from)
    n = other->size - from;
  if (n > MAX_INPUT - in->size)
    n = MAX_INPUT - in->size;
  memmove(in->bytes + at + n, in->bytes + at, in->size - at);
  memcpy(in->bytes + at, other->bytes + from, n);
  in->size += n;
}

static void write_varint(input *in) {
  uint64_t value = next_random() >> below(64);
  for (size_t at = below(in->size); at < in->size; value >>= 7) {
    in->bytes[at++] = (uint8_t)(value > 0x7f ? value | 0x80 : value);
    if (value <= 0x7f)
      break;
  }
}

static void mutate(input *in) {
  static void (*const mutations[])(input *) = {set_bytes, flip_bit, step_byte,    cut_out,
                                               cut_off,   copy_in,  write_varint, set_bytes,
                                               flip_bit,  step_byte};
  for (size_t n = 1 + below(4); n; n--)
    mutations[below(sizeof mutations / sizeof *mutations)](in);
}

/* ---- running ---- */

/* In a block of exactly its size, so that a read too far is seen. */
static void run(const uint8_t *bytes, size_t size) {
  uint8_t *exact = malloc(size ? size : 1);
  if (!exact)
    exit(2);
  memcpy(exact, bytes, size);
  LLVMFuzzerTestOneInput(exact, size);
  free(exact);
}

static void run_mutated(void) {
  static uint8_t bytes[MAX_INPUT];
  const input *seed = &seeds[below(n_seeds)];
  input in = {bytes, seed->size};
  memcpy(bytes, seed->bytes, seed->size);
  mutate(&in);
  run(in.bytes, in.size);
}

static double seconds_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool number_option(const char *argument, const char *name, uint64_t *value) {
  size_t n = strlen(name);
  if (strncmp(argument, name, n) != 0)
    return false;
  *value = strtoull(argument + n, NULL, 10);
  return true;
}

int main(int argc, char **argv) {
  uint64_t seconds = 0, runs = 0, seed = 0, n = 0;
  for (int i = 1; i < argc; i++) {
    if (number_option(argv[i], "-seconds=", &seconds) || number_option(argv[i], "-runs=", &runs))
      continue;
    if (number_option(argv[i], "-seed=", &seed))
      state ^= seed * 0x2545f4914f6cdd1du;
    else
      add_file(argv[i]);
  }
  add_made_seeds();
  double start = seconds_now(), now = start;
  for (size_t i = 0; i < n_seeds; i++, n++)
    run(seeds[i].bytes, seeds[i].size);
  while (runs ? n < runs : now - start < (double)seconds) {
    run_mutated();
    if (++n % 64 == 0)
      now = seconds_now();
  }
  now = seconds_now();
  printf("%" PRIu64 " executions, %.0f a second\n", n, (double)n / (now - start + 1e-9));
  for (size_t i = 0; i < n_seeds; i++)
    free(seeds[i].bytes);
  return 0;
}
