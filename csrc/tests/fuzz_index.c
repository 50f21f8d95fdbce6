/* Fuzzes everything that reads variables.index. Each input is read as it is;
 * with its checksums made true, so that damage reaches the parsers behind them;
 * as the body of a data block; and as a Snappy block. */
#include "fsm_doubles.h"
#include "fsm_layout.h"
#include "fsm_ordered.h"
#include "fsm_snappy.h"
#include "fsm_strings.h"
#include "make_index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t fuzz_seed(unsigned i, uint8_t *to, size_t capacity);

static void require(bool condition) {
  if (!condition)
    abort();
}

/* A key is no slice's, or the one that its parts make; an entry's slices parse. */
static void use_slices(const fsm_index *index, size_t row) {
  const uint8_t *key = index->keys + index->key_at[row];
  size_t n = (size_t)(index->key_at[row + 1] - index->key_at[row]);
  uint8_t *name = malloc(n + 1), *again = NULL;
  fsm_extent *extents = malloc((n / 2 + 1) * sizeof *extents);
  fsm_slice_name parts;
  require(name && extents);
  if (!fsm_slice_key_parse(key, n, name, extents, &parts)) {
    again = malloc(fsm_slice_key_max(parts.name_size, parts.rank));
    require(again != NULL);
    size_t size = fsm_slice_key_write(again, name, parts.name_size, extents, parts.rank);
    require(size == n && memcmp(again, key, n) == 0);
  }
  free(name);
  free(extents);
  free(again);
  fsm_array all = {0}, ends = {0};
  const uint8_t *p = index->values + index->stored_at[row];
  require(!fsm_bundle_slices_parse(&all, &ends, &p, p + index->value_size[row]));
  require(ends.n == index->n_slices[row]);
  free(all.items);
  free(ends.items);
}

/* Touch all that the index promises, so that the sanitizer sees it. */
static void use_index(const fsm_index *index) {
  uint64_t sum = 0;
  for (size_t i = 0; i < index->n_entries; i++) {
    require(index->key_at[i] <= index->key_at[i + 1]);
    require(index->dims_at[i] <= index->dims_at[i + 1]);
    require(index->block[i] < index->n_blocks);
    require(index->stored_at[i] + index->value_size[i] <= index->values_size);
    use_slices(index, i);
  }
  for (size_t i = 0; i < index->key_at[index->n_entries]; i++)
    sum += index->keys[i];
  for (size_t i = 0; i < index->dims_at[index->n_entries]; i++)
    sum += (uint64_t)index->dims[i];
  for (size_t i = 0; i < index->n_problems; i++)
    for (size_t j = 0; j < index->problems[i].key_size; j++)
      sum += index->problem_keys[index->problems[i].key_at + j];
  volatile uint64_t sink = sum;
  (void)sink;
  fsm_doubles doubles;
  size_t *twin_of = calloc(index->n_entries + 1, sizeof *twin_of);
  require(twin_of && !fsm_doubles_find(index, twin_of, &doubles));
  for (size_t i = 0; i < index->n_entries; i++)
    require(twin_of[i] <= i && twin_of[twin_of[i]] == twin_of[i]);
  free(twin_of);
}

/* Drop every third row, add bytes, and hold the new index against what was laid out. */
static void rewrite(const fsm_index *index) {
  fsm_layout_shard shards[] = {{.id = 0, .size = 1 << 16}, {.id = 1, .size = 1 << 16}};
  const fsm_layout_fresh fresh[] = {{0, 100, 60, 0}, {1, 0, 1 << 10, 1}};
  fsm_layout layout = {0};
  fsm_table_writer w = {0};
  uint8_t *keep = calloc(index->n_entries + 1, 1);
  size_t n = 0;
  require(keep != NULL);
  for (size_t i = 0; i < index->n_entries; i++) {
    keep[i] = i % 3 != 0 && (index->n_slices[i] || (uint32_t)index->shard[i] < 2);
    n += keep[i];
  }
  fsm_error e;
  fsm_status s = fsm_layout_make(&layout, index, keep, NULL, fresh, 2, shards, 2, n % 2, &e);
  require(!s || s == FSM_E_INVALID);
  if (!s && !fsm_layout_write(&w, &layout, index, keep, NULL, 0, &e)) {
    fsm_piece piece;
    fsm_src src;
    fsm_index back;
    size_t row = 0;
    fsm_src_memory(&src, &piece, w.out.items, w.out.n);
    require(!fsm_index_read(&back, &src, true, NULL));
    require(index->n_problems || (back.n_problems == 0 && back.n_entries == n));
    for (size_t i = 0; !index->n_problems && i < index->n_entries; i++) {
      if (!keep[i])
        continue;
      require(back.size[row] == index->size[i] && back.crc32c[row] == index->crc32c[i]);
      require(index->n_slices[i] || (back.shard[row] == layout.places[i].shard &&
                                     back.offset[row] == layout.places[i].offset));
      row++;
    }
    fsm_index_free(&back);
  }
  fsm_table_writer_free(&w);
  fsm_layout_free(&layout);
  free(keep);
}

static void read_both_ways(const uint8_t *data, size_t size) {
  fsm_piece piece;
  fsm_src src;
  fsm_index index;
  fsm_src_memory(&src, &piece, data, size);
  fsm_status strict = fsm_index_read(&index, &src, false, NULL);
  size_t n_entries = index.n_entries, n_problems = index.n_problems;
  require(index.memory <= index.budget);
  fsm_index_free(&index);
  fsm_status lenient = fsm_index_read(&index, &src, true, NULL);
  require(index.memory <= index.budget);
  require(index.n_entries >= n_entries && index.n_problems >= n_problems);
  require(strict || !lenient);
  use_index(&index);
  rewrite(&index);
  fsm_index_free(&index);
}

/* Make the checksum of the block true, if it is a block. */
static bool seal(const fsm_src *src, uint8_t *file, fsm_handle h, fsm_block *block) {
  fsm_status s = fsm_block_load(block, src, h, NULL);
  if (s == FSM_E_CRC)
    reseal(file, h);
  return (!s || s == FSM_E_CRC) && !fsm_block_open(block, NULL);
}

static void seal_all(uint8_t *file, size_t size) {
  fsm_piece piece;
  fsm_src src;
  fsm_footer footer;
  fsm_block index = {0}, data = {0};
  fsm_entries it = {0};
  fsm_handle h;
  bool more = true;
  fsm_src_memory(&src, &piece, file, size);
  if (fsm_footer_read(&src, &footer, NULL))
    return;
  if (seal(&src, file, footer.index, &index)) {
    fsm_entries_begin(&it, &index);
    for (int i = 0; i < 100 && !fsm_entries_next(&it, &more, NULL) && more; i++)
      if (fsm_handle_parse(it.value, it.value_size, &h))
        seal(&src, file, h, &data);
  }
  seal(&src, file, footer.metaindex, &data);
  fsm_entries_free(&it);
  fsm_block_free(&index);
  fsm_block_free(&data);
}

static void read_as_block(const uint8_t *data, size_t size) {
  buffer file = {0}, body = {0};
  block_maker index;
  start_block(&index, 1);
  put(&body, data, size);
  put_u32(&body, 0);
  put_u32(&body, 1);
  add_handle(&index, "\xff", put_block(&file, &body, FSM_BLOCK_RAW));
  finish_table(&file, &index);
  read_both_ways(file.p, file.size);
  clear(&body);
  clear(&file);
}

static void read_as_snappy(const uint8_t *data, size_t size) {
  size_t length;
  if (fsm_snappy_length(data, size, 1 << 20, &length, NULL))
    return;
  require(length / FSM_SNAPPY_MAX_EXPANSION <= size);
  uint8_t *out = malloc(length ? length : 1);
  require(out != NULL);
  fsm_snappy_decode(data, size, out, length, NULL);
  free(out);
}

/* Touch every byte of what is said to be an element. */
static void use_element(const uint8_t *p, size_t n, uint64_t *sum) {
  for (size_t i = 0; i < n; i++)
    *sum += p[i];
}

/* As the bytes of strings, as many as the first byte says, and of variants. */
static void read_as_elements(const uint8_t *data, size_t size) {
  fsm_strings t;
  const uint8_t *p;
  size_t n;
  volatile uint64_t sink;
  uint64_t sum = 0, count = size ? data[0] : 0;
  if (!fsm_strings_begin(&t, data, size, count, NULL))
    for (uint64_t i = 0; i < count; i++) {
      fsm_strings_next(&t, &p, &n);
      use_element(p, n, &sum);
    }
  fsm_variants_begin(&t, data, size);
  while (!fsm_variants_next(&t, &p, &n, NULL))
    use_element(p, n, &sum);
  sink = sum;
  (void)sink;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t *copy = malloc(size ? size : 1);
  require(copy != NULL);
  if (size)
    memcpy(copy, data, size);
  read_both_ways(copy, size);
  seal_all(copy, size);
  read_both_ways(copy, size);
  free(copy);
  read_as_block(data, size);
  read_as_snappy(data, size);
  read_as_elements(data, size);
  return 0;
}

/* Small indexes, raw and compressed, in one block and in many. */
static buffer make_seed(unsigned i) {
  sample samples[N_MANY];
  char keys[N_MANY][32];
  many_samples(samples, keys);
  samples[2].n_slices = 3;
  buffer file = make_index(samples, i < 4 ? 5 : 40, i % 4 < 2 ? 100 : 3, i % 2);
  if (i < 8)
    return file;
  buffer body = {0}, raw = {0}; /* the first block alone */
  fsm_piece piece;
  fsm_src src;
  fsm_block block = {0};
  fsm_index index;
  fsm_src_memory(&src, &piece, file.p, file.size);
  require(!fsm_index_read(&index, &src, false, NULL));
  require(!fsm_block_load(&block, &src, index.blocks[0].handle, NULL));
  require(!fsm_block_open(&block, NULL));
  put(&raw, block.stored, (size_t)block.handle.size);
  put(&body, block.body, block.entries_end);
  fsm_block_free(&block);
  fsm_index_free(&index);
  clear(&file);
  clear(i % 2 ? &body : &raw);
  return i % 2 ? raw : body;
}

size_t fuzz_seed(unsigned i, uint8_t *to, size_t capacity) {
  if (i >= 12)
    return 0;
  buffer seed = make_seed(i);
  size_t n = seed.size < capacity ? seed.size : capacity;
  memcpy(to, seed.p, n);
  clear(&seed);
  return n;
}
