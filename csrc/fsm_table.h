/* Tables in LevelDB's format, as TensorFlow writes variables.index: blocks of
 * key-value entries in key order, found through an index block.
 *
 *   data block ... | metaindex block | index block | footer, 48 bytes
 *   block:  entry ... | restart offsets, u32 each | their count, u32
 *           | type, 1 byte | masked crc32c of all before it, u32
 *   entry:  varint32 shared | varint32 fresh | varint32 value size
 *           | the key's bytes after the `shared` it has in common with the key
 *           before | value
 *   footer: metaindex handle | index handle | zeros up to 40 | magic, u64
 *   handle: varint64 offset | varint64 size, without the 5 bytes of trailer
 *
 * Source: TensorFlow 2.21 tsl/lib/io/format.cc, block.cc, table.cc. */
#ifndef FSM_TABLE_H
#define FSM_TABLE_H

#include "fsm_src.h"

#define FSM_TABLE_MAGIC UINT64_C(0xdb4775248b80fb57)
#define FSM_FOOTER_SIZE 48
#define FSM_BLOCK_TRAILER 5

/* TensorFlow flushes a data block at 256 KiB, and gives an entry of 512 KiB or
 * more a block of its own; only a variable of millions of slices makes one
 * longer than this. It bounds what a walk holds at a time. */
#define FSM_MAX_BLOCK ((size_t)64 << 20)

typedef struct {
  uint64_t offset, size;
} fsm_handle;

typedef struct {
  fsm_handle metaindex, index;
  bool padded; /* minimal handles, zeros between them and the magic: as it is written */
} fsm_footer;

/* FSM_E_TRUNCATED: shorter than a footer. FSM_E_MAGIC. FSM_E_HANDLE: a handle
 * does not parse. Where the handles point is not looked at yet. */
fsm_status fsm_footer_read(const fsm_src *src, fsm_footer *footer, fsm_error *e);

/* The two varints of a handle; bytes after them are ignored, as TensorFlow does.
 * False when they do not parse. */
bool fsm_handle_parse(const uint8_t *p, size_t n, fsm_handle *handle);

enum { FSM_BLOCK_RAW = 0, FSM_BLOCK_SNAPPY = 1 };

/* One block in memory. Zero it first; it may be loaded again and again, and its
 * buffers only grow. */
typedef struct {
  fsm_handle handle;
  uint8_t type;
  const uint8_t *body; /* decoded */
  size_t size;
  size_t entries_end; /* where the restart array begins */
  uint32_t n_restarts;
  bool restarts_ok; /* the array fits the block; the iterator checks the rest */

  uint8_t *stored, *decoded;
  size_t stored_capacity, decoded_capacity;
} fsm_block;

/* Read a block and check its checksum. On FSM_E_CRC the bytes are there, and a
 * caller who only wants to see what can be seen may still open them.
 * FSM_E_HANDLE: not before the footer. FSM_E_LIMIT: above FSM_MAX_BLOCK. */
fsm_status fsm_block_load(fsm_block *block, const fsm_src *src, fsm_handle handle,
                          fsm_error *e);

/* Decode a loaded block and find its restart array. A broken array is no error
 * here. FSM_E_INVALID: unknown type. FSM_E_SNAPPY, FSM_E_LIMIT, FSM_E_BLOCK. */
fsm_status fsm_block_open(fsm_block *block, fsm_error *e);

void fsm_block_free(fsm_block *block);

/* The position in the file of byte `at` of the body; in a compressed block,
 * whose bytes have none, the block's own. */
uint64_t fsm_block_offset(const fsm_block *block, size_t at);

/* Walks the entries of a block, then of the next: the key stays between blocks,
 * so that `ascends` holds across them. Zero it first. */
typedef struct {
  const fsm_block *block;
  size_t next; /* in the body: where the next entry starts */
  uint32_t n_restarts_seen;
  bool restarts_ok; /* so far, each restart is the start of an entry that shares nothing */

  uint8_t *key;
  size_t key_size, key_capacity;
  bool any;     /* some entry has been read */
  bool ascends; /* this key is above the one before it */
  const uint8_t *value; /* inside the body */
  size_t value_at, value_size;
} fsm_entries;

void fsm_entries_begin(fsm_entries *entries, const fsm_block *block);

/* Let `key` stand for the key before: the next one must be above it. */
fsm_status fsm_entries_hold(fsm_entries *entries, const uint8_t *key, size_t n, fsm_error *e);

/* Read the next entry; `*more` is false at the end of the block. FSM_E_BLOCK: a
 * length that does not fit (need, have), and nothing after it can be read. */
fsm_status fsm_entries_next(fsm_entries *entries, bool *more, fsm_error *e);

void fsm_entries_free(fsm_entries *entries);

/* Bytewise order, a prefix first. */
int fsm_key_compare(const uint8_t *a, size_t n_a, const uint8_t *b, size_t n_b);

#endif
