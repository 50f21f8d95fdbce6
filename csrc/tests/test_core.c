/* The cursor, the canonical streamer, Fingerprint64 and the node index. */
#include "check.h"
#include "fsm_naming.h"
#include "fsm_nodes.h"
#include "fsm_parse.h"
#include "fsm_program.h"
#include "make_message.h"
#include "tiny_canon.h"

/* ---- the cursor ---- */

typedef struct {
  fsm_src src;
  fsm_piece piece;
  uint8_t window[64];
  fsm_cursor c;
} reading;

/* Read n bytes through a window of `capacity`. */
static fsm_cursor *open_bytes(reading *r, const void *bytes, size_t n, size_t capacity) {
  fsm_src_memory(&r->src, &r->piece, bytes, n);
  fsm_cursor_init(&r->c, &r->src, r->window, capacity);
  return &r->c;
}

#define OPEN(reading, text) \
  open_bytes(reading, text, sizeof(text) - 1, sizeof (reading)->window)

static void test_every_wire_type(void) {
  static const char message[] = "\x08\x96\x01"                         /* 1: 150 */
                                "\x11\x01\x02\x03\x04\x05\x06\x07\x08" /* 2: fixed64 */
                                "\x1a\x03"
                                "abc"               /* 3: abc */
                                "\x23\x28\x07\x24"  /* 4: a group with 5: 7 */
                                "\x35\x01\x02\x03\x04"; /* 6: fixed32 */
  static const struct {
    uint32_t number;
    fsm_wire wire;
    uint64_t value, tag_end, end, length;
  } fields[] = {
      {1, FSM_VARINT, 150, 1, 3, 0},
      {2, FSM_FIXED64, UINT64_C(0x0807060504030201), 4, 12, 0},
      {3, FSM_LEN, 14, 13, 17, 3},
      {4, FSM_GROUP, 18, 18, 21, 2},
      {6, FSM_FIXED32, 0x04030201, 22, 26, 0},
  };
  for (size_t capacity = FSM_MAX_HEADER_BYTES; capacity <= 64; capacity++) {
    reading r;
    fsm_cursor *c = open_bytes(&r, message, sizeof message - 1, capacity);
    fsm_field f;
    uint64_t start = 0;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
      CHECK_EQ(fsm_cursor_next(c, &f), FSM_OK);
      CHECK_EQ(f.start, start);
      CHECK_EQ(f.number, fields[i].number);
      CHECK_EQ(f.wire, fields[i].wire);
      CHECK_EQ(f.value, fields[i].value);
      CHECK_EQ(f.tag_end, fields[i].tag_end);
      CHECK_EQ(f.end, fields[i].end);
      CHECK_EQ(f.length, fields[i].length);
      CHECK(f.minimal);
      start = f.end;
    }
    CHECK(fsm_cursor_done(c));
  }
}

static void test_varints_wider_than_needed(void) {
  reading r;
  fsm_field f;
  fsm_cursor *c = OPEN(&r, "\x88\x80\x00\x05" /* the tag in three bytes */
                           "\x08\x85\x00"     /* the value in two */
                           "\x12\x81\x00x"    /* the length in two */
                           "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" /* ten are needed */
                           "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"); /* bits too many */
  static const bool minimal[] = {false, false, false, true, false};
  static const uint64_t values[] = {5, 5, 10, UINT64_MAX, UINT64_MAX};
  for (size_t i = 0; i < 5; i++) {
    CHECK_EQ(fsm_cursor_next(c, &f), FSM_OK);
    CHECK_EQ(f.minimal, minimal[i]);
    CHECK_EQ(f.value, values[i]);
  }
  CHECK(fsm_cursor_done(c));
}

/* One field that is wrong, behind one that is right, through a small window and a
 * large one: what the error says. */
static void check_refusal(const char *bytes, size_t n, fsm_status status, uint64_t offset,
                          uint64_t need, uint64_t have) {
  for (size_t capacity = FSM_MAX_HEADER_BYTES; capacity <= 64; capacity += 49) {
    reading r;
    fsm_field f;
    fsm_cursor *c = open_bytes(&r, bytes, n, capacity);
    CHECK_EQ(fsm_cursor_next(c, &f), FSM_OK);
    CHECK_EQ(fsm_cursor_next(c, &f), status);
    CHECK_EQ(c->error.status, status);
    CHECK_EQ(c->error.offset, offset);
    CHECK_EQ(c->error.need, need);
    CHECK_EQ(c->error.have, have);
  }
}

#define REFUSED(bytes, ...) check_refusal("\x08\x01" bytes, sizeof("\x08\x01" bytes) - 1, __VA_ARGS__)

static void test_refusals(void) {
  /* the tag */
  REFUSED("\x80", FSM_E_TRUNCATED, 2, 2, 1);
  REFUSED("\x00\x00", FSM_E_TAG, 2, 0, 2);
  REFUSED("\xf8\xff\xff\xff\x1f\x00", FSM_E_TAG, 2, 0, 6);     /* number 2^30 - 1 */
  REFUSED("\x88\x80\x80\x80\x80\x00\x00", FSM_E_TAG, 2, 0, 7); /* six bytes */
  REFUSED("\x0e\x00", FSM_E_WIRE, 2, 0, 2);
  REFUSED("\x0f\x00", FSM_E_WIRE, 2, 0, 2);
  /* the value */
  REFUSED("\x08", FSM_E_TRUNCATED, 3, 1, 0);
  REFUSED("\x08\xff\xff", FSM_E_TRUNCATED, 3, 3, 2);
  REFUSED("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", FSM_E_VARINT, 3, 0, 11);
  REFUSED("\x09\x01\x02\x03\x04\x05\x06\x07", FSM_E_TRUNCATED, 2, 8, 7);
  REFUSED("\x0d\x01\x02\x03", FSM_E_TRUNCATED, 2, 4, 3);
  REFUSED("\x0a\x05""abcd", FSM_E_TRUNCATED, 2, 5, 4);
  REFUSED("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", FSM_E_TRUNCATED, 2, UINT64_MAX, 0);
  /* groups */
  REFUSED("\x0c", FSM_E_GROUP, 2, 0, 1);
  REFUSED("\x0b\x08\x01", FSM_E_GROUP, 2, 1, 0);
  REFUSED("\x0b\x14", FSM_E_GROUP, 3, 1, 2);
  REFUSED("\x0b\x12\x05""ab\x0c", FSM_E_TRUNCATED, 3, 5, 3);
}

static void test_groups_nest_a_hundred_deep(void) {
  for (unsigned depth = FSM_MAX_DEPTH; depth <= FSM_MAX_DEPTH + 1; depth++) {
    buffer b = {0};
    reading r;
    fsm_field f;
    for (unsigned i = 0; i < depth; i++)
      put_tag(&b, 1, FSM_GROUP);
    for (unsigned i = 0; i < depth; i++)
      put_tag(&b, 1, FSM_END_GROUP);
    fsm_cursor *c = open_bytes(&r, b.p, b.size, FSM_MAX_HEADER_BYTES);
    if (depth == FSM_MAX_DEPTH) {
      CHECK_EQ(fsm_cursor_next(c, &f), FSM_OK);
      CHECK_EQ(f.end, b.size);
      CHECK_EQ(f.length, b.size - 2);
    } else {
      CHECK_EQ(fsm_cursor_next(c, &f), FSM_E_DEPTH);
      CHECK_EQ(c->error.offset, FSM_MAX_DEPTH);
      CHECK_EQ(c->error.need, FSM_MAX_DEPTH);
    }
    clear(&b);
  }
}

static void test_a_message_ends_what_is_in_it(void) {
  reading r;
  fsm_field f;
  fsm_cursor *c = OPEN(&r, "\x0a\x02\x12\x05""abcde");
  CHECK_EQ(fsm_cursor_span(c, 2, 4), FSM_OK);
  CHECK_EQ(fsm_cursor_next(c, &f), FSM_E_TRUNCATED); /* the file goes on, the message does not */
  CHECK_EQ(c->error.have, 0);
  CHECK_EQ(fsm_cursor_span(c, 2, 9), FSM_OK);
  CHECK_EQ(fsm_cursor_next(c, &f), FSM_OK);
  CHECK_EQ(fsm_cursor_span(c, 9, 9), FSM_OK);
  CHECK(fsm_cursor_done(c));
  CHECK_EQ(fsm_cursor_span(c, 0, 10), FSM_E_TRUNCATED);
  CHECK_EQ(fsm_cursor_span(c, 5, 4), FSM_E_TRUNCATED);
}

static void test_windows(void) {
  reading r;
  const uint8_t *p;
  size_t n;
  char copy[4];
  fsm_cursor *c = open_bytes(&r, "0123456789abcdefghijklmnopqrstuvwxyz", 36, 16);
  CHECK_EQ(fsm_cursor_need(c, 17, &p), FSM_E_LIMIT);
  CHECK_EQ(fsm_cursor_span(c, 30, 36), FSM_OK);
  CHECK_EQ(fsm_cursor_need(c, 7, &p), FSM_E_TRUNCATED);
  CHECK_EQ(fsm_cursor_need(c, 6, &p), FSM_OK);
  CHECK_BYTES(p, 6, "uvwxyz", 6);
  CHECK_EQ(fsm_cursor_span(c, 10, 36), FSM_OK);
  CHECK_EQ(fsm_cursor_some(c, &p, &n), FSM_OK);
  CHECK_BYTES(p, n, "abcdefghijklmnop", 16);
  CHECK_EQ(fsm_cursor_span(c, 20, 25), FSM_OK);
  CHECK_EQ(fsm_cursor_some(c, &p, &n), FSM_OK); /* what is there, and no more than the message */
  CHECK_BYTES(p, n, "klmno", 5);
  CHECK_EQ(fsm_cursor_read(c, 22, copy, 4), FSM_OK); /* in the window */
  CHECK_BYTES(copy, 4, "mnop", 4);
  CHECK_EQ(fsm_cursor_read(c, 24, copy, 4), FSM_OK); /* half in it */
  CHECK_BYTES(copy, 4, "opqr", 4);
  CHECK_EQ(fsm_cursor_read(c, 33, copy, 4), FSM_E_TRUNCATED);
  r.window[10] = '!';
  fsm_cursor_forget(c);
  CHECK_EQ(fsm_cursor_need(c, 5, &p), FSM_OK);
  CHECK_BYTES(p, 5, "klmno", 5);
}

/* ---- Fingerprint64 ---- */

/* bytes[i] = i * 7 + 3. Source: tf.fingerprint(method="farmhash64"), TensorFlow 2.21. */
static const struct {
  size_t n;
  uint64_t hash;
} known[] = {
    {0, UINT64_C(0x9ae16a3b2f90404f)}, {1, UINT64_C(0xbec09cc447469d8b)},
    {3, UINT64_C(0x40b4412e33eefd64)}, {4, UINT64_C(0xf3c7ee05197a7b92)},
    {7, UINT64_C(0x4fef0b39c12aa9a4)}, {8, UINT64_C(0x0c97ecbc1e9d2626)},
    {15, UINT64_C(0x2ca35f0a039b4f1b)}, {16, UINT64_C(0x7eda0ed8c837a168)},
    {17, UINT64_C(0xc9518fe63ebf6127)}, {31, UINT64_C(0xbd5ca6ee28fc43cb)},
    {32, UINT64_C(0xa53f806f23a314e8)}, {33, UINT64_C(0xc24f9d7ce864f0e9)},
    {63, UINT64_C(0x9643c13fc68d469c)}, {64, UINT64_C(0x0566266cb579eca2)},
    {65, UINT64_C(0x77e0867714e6b0e4)}, {127, UINT64_C(0xcaa19a12c8273b7e)},
    {128, UINT64_C(0x666823960b3ac271)}, {129, UINT64_C(0x98206b8579bca083)},
    {255, UINT64_C(0x9252303b96380bc0)}, {1000, UINT64_C(0xe021806cc1e3dc4c)},
    {1024, UINT64_C(0x96b2132587f3d107)},
};

static void test_fingerprint64(void) {
  uint8_t bytes[1024];
  for (size_t i = 0; i < sizeof bytes; i++)
    bytes[i] = (uint8_t)(i * 7 + 3);
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    CHECK_EQ(fsm_fingerprint64(bytes, known[i].n), known[i].hash);
}

static void test_fingerprint64_in_parts(void) {
  uint8_t bytes[300];
  for (size_t i = 0; i < sizeof bytes; i++)
    bytes[i] = (uint8_t)(i * 31 + 1);
  for (size_t n = 0; n <= sizeof bytes; n++)
    for (size_t part = 1; part < 140; part += 1 + part / 4) {
      fsm_farm farm;
      fsm_farm_init(&farm);
      for (size_t at = 0; at < n; at += part)
        fsm_farm_update(&farm, bytes + at, part < n - at ? part : n - at);
      CHECK_EQ(fsm_farm_finish(&farm), fsm_fingerprint64(bytes, n));
    }
}

static void test_fingerprint_cat_minds_the_order(void) {
  CHECK_EQ(fsm_fingerprint_cat(1, 2), UINT64_C(0xc89a2574412ac8e4));
  CHECK_EQ(fsm_fingerprint_cat(2, 1), UINT64_C(0xe974d3af90f91b83));
}

/* ---- tidying in place ---- */

static fsm_tidy scratch;

static const uint8_t *tidy(buffer *b, fsm_message message) {
  return fsm_tidy_message(&scratch, &fsm_schema[message], b->p, b->p + b->size, 0);
}

/* A node whose attrs have these keys; every second value is a map itself. */
static buffer node_of(const char *const *keys, size_t n) {
  buffer node = {0}, leaf = {0}, func = {0}, value = {0};
  put_text(&node, 1, "name");
  put_int(&leaf, 3, 7);
  put_entry_of(&func, 2, "z", &leaf);
  put_entry_of(&func, 2, "a", &leaf);
  put_message(&value, 10, &func);
  for (size_t i = 0; i < n; i++)
    put_entry_of(&node, 5, keys[i], i % 2 ? &value : &leaf);
  clear(&leaf);
  clear(&func);
  clear(&value);
  return node;
}

static void test_sorts_maps_in_place(void) {
  static const char *const keys[] = {"Tidx", "T", "b", "a", "identity_1", "identity"};
  static const char *const sorted[] = {"T", "Tidx", "a", "b", "identity", "identity_1"};
  buffer node = node_of(keys, 6);
  size_t size = node.size;
  CHECK(tidy(&node, FSM_MSG_NodeDef) == NULL);
  CHECK_EQ(node.size, size);
  const uint8_t *p = node.p + 6, *end = node.p + node.size;
  for (size_t i = 0; i < 6; i++) {
    uint64_t tag = 0, length = 0;
    CHECK(!fsm_read_varint(&p, end, &tag) && !fsm_read_varint(&p, end, &length));
    fsm_map_key key = fsm_map_key_at(&fsm_schema[FSM_MSG_NodeDef_AttrEntry], p, p + length);
    CHECK_BYTES(key.bytes, key.n, sorted[i], strlen(sorted[i]));
    p += length;
  }
  buffer again = {0};
  put(&again, node.p, node.size);
  CHECK(tidy(&again, FSM_MSG_NodeDef) == NULL);
  CHECK_BYTES(again.p, again.size, node.p, node.size);
  clear(&node);
  clear(&again);
}

static void test_leaves_equal_keys_alone(void) {
  static const char *const keys[] = {"b", "a", "b"};
  buffer node = node_of(keys, 3), before = {0};
  /* Inside the second value there is a map to sort. */
  CHECK(tidy(&node, FSM_MSG_NodeDef) == node.p + 6);
  put(&before, node.p, node.size);
  CHECK(tidy(&node, FSM_MSG_NodeDef) == node.p + 6);
  CHECK_BYTES(node.p, node.size, before.p, before.size);
  clear(&node);
  clear(&before);
}

/* A message of this type, and where it stops being canonical; -1: nowhere. */
static void check_stop(fsm_message message, const char *bytes, size_t n, int64_t stop) {
  buffer b = {0};
  put(&b, bytes, n);
  const uint8_t *at = tidy(&b, message);
  CHECK_EQ(at ? at - b.p : -1, stop);
  clear(&b);
}

#define STOPS(message, bytes, stop) \
  check_stop(FSM_MSG_##message, bytes, sizeof(bytes) - 1, stop)

static void test_where_canonical_form_ends(void) {
  STOPS(NodeDef, "", -1);
  STOPS(NodeDef, "\x0a\x01n\x12\x01o", -1);
  STOPS(NodeDef, "\x12\x01o\x0a\x01n", 3);          /* order */
  STOPS(NodeDef, "\x0a\x01n\x0a\x01n", 3);          /* twice */
  STOPS(NodeDef, "\x0a\x01n\x12\x00", 3);           /* a default */
  STOPS(NodeDef, "\x0a\x01n\x1a\x00", -1);          /* not in a list */
  STOPS(NodeDef, "\x0a\x01n\x12\x81\x00o", 3);      /* a wide length */
  STOPS(NodeDef, "\x8a\x00\x01n", 0);               /* a wide tag */
  STOPS(NodeDef, "\x0a\x01n\x12\x05o", 3);          /* truncated */
  STOPS(NodeDef, "\x0a\x01n\x10\x05", 3);           /* the wire type of none */
  STOPS(NodeDef, "\x0a\x01n\xe0\x07\x01", 3);       /* unknown */
  STOPS(NodeDef, "\x00\x00", 0);                    /* number 0 */
  STOPS(NodeDef, "\x2a\x04\x0a\x00\x12\x00", -1);   /* an entry of defaults */
  STOPS(NodeDef, "\x0a\x01n\x2a\x00", 3);           /* one without a key */
  STOPS(NodeDef, "\x0a\x01n\x2a\x02\x0a\x00", 3);   /* one without a value */
  STOPS(NodeDef, "\x2a\x05\x0a\x01k\x12\x00\x3a\x00", -1);
  STOPS(AttrValue, "\x18\x00", -1);                 /* a oneof keeps its default */
  STOPS(AttrValue, "\x18\x01\x28\x01", 2);          /* and has one member */
  STOPS(AttrValue, "\x28\x02", 0);                  /* a flag is 0 or 1 */
  STOPS(AttrValue, "\x3a\x04\x12\x02\x08\x05", -1); /* two bytes: a small number */
  STOPS(AttrValue, "\x3a\x04\x12\x02\x08\x00", 4);
  STOPS(AttrValue, "\x3a\x04\x12\x02\x00\x00", 4);
  STOPS(AttrValue, "\x3a\x04\x12\x02\x0a\x00", 4);
  STOPS(VersionDef, "\x08\xff\xff\xff\xff\x0f", 0); /* the sign of a 32-bit number */
  STOPS(VersionDef, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", -1);
  STOPS(VersionDef, "\x1a\x01\x00", -1);            /* packed zero counts */
  STOPS(VersionDef, "\x1a\x00", 0);                 /* nothing, packed, does not */
  STOPS(VersionDef, "\x1a\x02\x80\x00", 0);
  STOPS(VersionDef, "\x18\x01", 0);                 /* not packed */
  STOPS(TensorProto, "\x2a\x03\x00\x00\x00", 0);    /* three quarters of a float */
  fsm_tidy_free(&scratch);
}

/* ---- the canonical form, in memory and streamed ---- */

static fsm_status canonical(const buffer *in, fsm_message message, uint8_t *out, uint64_t *n) {
  fsm_canon memory = {0}, streamed = {0};
  fsm_src src;
  fsm_piece piece;
  fsm_span whole = {0, in->size};
  uint8_t *other = calloc(1, 8 * in->size + 16);
  uint64_t hash = 0, tiny = 0, n_other = 0;
  fsm_src_memory(&src, &piece, in->p, in->size);
  fsm_status s = fsm_canon_write(&memory, &src, message, &whole, 1, out, 8 * in->size + 16, n);
  CHECK(other != NULL);
  CHECK_EQ(tiny_write(&streamed, &src, message, &whole, 1, other, 8 * in->size + 16, &n_other), s);
  CHECK_EQ(fsm_canon_hash(&memory, &src, message, &whole, 1, &hash), s);
  CHECK_EQ(tiny_hash(&streamed, &src, message, &whole, 1, &tiny), s);
  if (!s) {
    CHECK_BYTES(other, n_other, out, *n);
    CHECK_EQ(hash, fsm_fingerprint64(out, *n));
    CHECK_EQ(tiny, hash);
  }
  free(other);
  fsm_canon_free(&memory);
  tiny_free(&streamed);
  return s;
}

static void check_canonical(fsm_message message, const char *bytes, size_t n, const char *want,
                            size_t n_want) {
  buffer in = {0};
  uint8_t out[256];
  uint64_t n_out = 0;
  put(&in, bytes, n);
  CHECK_EQ(canonical(&in, message, out, &n_out), FSM_OK);
  CHECK_BYTES(out, n_out, want, n_want);
  clear(&in);
}

#define BECOMES(message, bytes, want) \
  check_canonical(FSM_MSG_##message, bytes, sizeof(bytes) - 1, want, sizeof(want) - 1)

static void test_canonical_form(void) {
  BECOMES(NodeDef, "", "");
  BECOMES(NodeDef, "\x12\x01o\x0a\x01n", "\x0a\x01n\x12\x01o");
  BECOMES(NodeDef, "\x0a\x01n\x0a\x01m", "\x0a\x01m");
  BECOMES(NodeDef, "\x0a\x01n\x0a\x00", "");
  BECOMES(NodeDef, "\x2a\x00", "\x2a\x04\x0a\x00\x12\x00");
  BECOMES(NodeDef, "\x2a\x03\x0a\x01k", "\x2a\x05\x0a\x01k\x12\x00");
  BECOMES(NodeDef, "\x2a\x09\x12\x02\x18\x01\x98\x06\x05\x0a\x00", "\x2a\x06\x0a\x00\x12\x02\x18\x01");
  BECOMES(NodeDef, "\xe0\x07\x85\x00\x0a\x01n", "\x0a\x01n\xe0\x07\x05");
  BECOMES(NodeDef, "\xe3\x07\x88\x00\x81\x00\xe4\x07", "\xe3\x07\x08\x01\xe4\x07");
  BECOMES(AttrValue, "\x18\x01\x28\x01", "\x28\x01");
  BECOMES(AttrValue, "\x3a\x02\x18\x01\x3a\x02\x12\x00", "\x3a\x04\x12\x00\x18\x01");
  BECOMES(AttrValue, "\x3a\x02\x18\x01\x18\x01\x3a\x02\x12\x00", "\x3a\x02\x12\x00");
  BECOMES(AttrValue, "\x28\x7f", "\x28\x01");
  BECOMES(VersionDef, "\x18\x01\x1a\x02\x02\x03\x18\x04", "\x1a\x04\x01\x02\x03\x04");
  BECOMES(VersionDef, "\x08\xff\xff\xff\xff\x0f", "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
  BECOMES(FunctionDef, "\x42\x00", "\x42\x04\x08\x00\x10\x00");
  BECOMES(GraphDebugInfo_FileLineCol, "\x2a\x00\x08\x00", "\x08\x00\x2a\x00");
}

/* The two ways agree on what is made of these choices. */
static void test_memory_and_stream_agree(void) {
  uint64_t state = 7;
  for (int i = 0; i < 3000; i++) {
    uint8_t bytes[400], out[1 << 16];
    size_t n = 4 + check_random(&state) % 396;
    for (size_t j = 0; j < n; j++)
      bytes[j] = (uint8_t)(check_random(&state) >> 40);
    buffer made = {0};
    choices c = {bytes, bytes + n};
    fsm_message message = bytes[0] % FSM_N_MESSAGES;
    odd_message(&c, &made, &fsm_schema[message], 0);
    uint64_t n_out;
    if (8 * made.size + 16 <= sizeof out)
      CHECK_EQ(canonical(&made, message, out, &n_out), FSM_OK);
    clear(&made);
  }
}

/* Thirty lengths of two bytes each that become lengths of one. */
static void test_lengths_settle_in_two_passes(void) {
  buffer message = {0};
  uint8_t out[1 << 14];
  uint64_t n = 0;
  for (int i = 0; i < 100; i++)
    put(&message, "\x88\x80\x00\x05", 4); /* type_id, of which one stays */
  for (int level = 0; level < 30; level++) {
    buffer around = {0};
    put_message(&around, 2, &message);
    clear(&message);
    message = around;
  }
  CHECK_EQ(canonical(&message, FSM_MSG_FullTypeDef, out, &n), FSM_OK);
  CHECK_EQ(n, 2 + 30 * 2);
  clear(&message);
}

static void test_limit_of_written_bytes(void) {
  fsm_canon c = {0};
  fsm_src src;
  fsm_piece piece;
  fsm_span whole = {0, 3};
  uint8_t out[3];
  uint64_t n = 0;
  fsm_src_memory(&src, &piece, (const uint8_t *)"\x0a\x01n", 3);
  CHECK_EQ(fsm_canon_write(&c, &src, FSM_MSG_NodeDef, &whole, 1, out, 2, &n), FSM_E_LIMIT);
  CHECK_EQ(fsm_canon_write(&c, &src, FSM_MSG_NodeDef, &whole, 1, out, 3, &n), FSM_OK);
  CHECK_EQ(n, 3);
  whole.end = 4;
  CHECK_EQ(fsm_canon_write(&c, &src, FSM_MSG_NodeDef, &whole, 1, out, 3, &n), FSM_E_TRUNCATED);
  fsm_canon_free(&c);
}

/* Two fields in turn, a million times: more runs than are sorted. */
static void test_limit_of_runs(void) {
  for (unsigned n = FSM_MAX_RUNS / 2; n <= FSM_MAX_RUNS / 2 + 1; n++) {
    fsm_canon c = {0};
    fsm_src src;
    fsm_piece piece;
    uint64_t hash = 0;
    buffer m = {0};
    for (unsigned i = 0; i < n; i++)
      put(&m, "\x0a\x00\x12\x00", 4);
    fsm_span whole = {0, m.size};
    fsm_src_memory(&src, &piece, m.p, m.size);
    fsm_status s = fsm_canon_hash(&c, &src, FSM_MSG_NodeDef, &whole, 1, &hash);
    CHECK_EQ(s, n == FSM_MAX_RUNS / 2 ? FSM_OK : FSM_E_LIMIT);
    if (s) {
      CHECK_EQ(c.cursor.error.offset, 2 * FSM_MAX_RUNS);
      CHECK_EQ(c.cursor.error.need, FSM_MAX_RUNS);
    } else {
      CHECK_EQ(hash, fsm_fingerprint64("", 0));
    }
    fsm_canon_free(&c);
    clear(&m);
  }
}

/* ---- nodes ---- */

static void put_node(buffer *graph, unsigned number, const char *name, const char *op) {
  buffer node = {0};
  put_text(&node, 1, name);
  put_text(&node, 2, op);
  put_message(graph, number, &node);
  clear(&node);
}

/* A call of a function, its op before or behind the attr that names it. */
static void put_call(buffer *graph, unsigned number, const char *callee, bool op_last) {
  buffer node = {0}, func = {0}, value = {0};
  put_text(&func, 1, callee);
  put_message(&value, 10, &func);
  if (!op_last)
    put_text(&node, 2, "PartitionedCall");
  put_entry_of(&node, 5, "f", &value);
  if (op_last)
    put_text(&node, 2, "PartitionedCall");
  put_message(graph, number, &node);
  clear(&node);
  clear(&func);
  clear(&value);
}

/* A library of one function, whose name comes behind its nodes. */
static void put_function(buffer *graph, const char *name, const buffer *nodes) {
  buffer function = {0}, signature = {0}, library = {0};
  put(&function, nodes->p, nodes->size);
  put_text(&signature, 1, name);
  put_message(&function, 1, &signature);
  put_message(&library, 1, &function);
  put_message(graph, 2, &library);
  clear(&function);
  clear(&signature);
  clear(&library);
}

static fsm_status scan_nodes(const buffer *graph, fsm_nodes *nodes, fsm_nodes_depth depth,
                             fsm_error *e) {
  fsm_src src;
  fsm_piece piece;
  fsm_span whole = {0, graph->size};
  *nodes = (fsm_nodes){0};
  fsm_src_memory(&src, &piece, graph->p, graph->size);
  return fsm_nodes_scan(nodes, &src, &whole, 1, depth, e);
}

static bool is_named(const fsm_nodes *nodes, uint32_t id, const char *name) {
  uint32_t n;
  const uint8_t *found = fsm_names_get(&nodes->names, id, &n);
  return n == strlen(name) && memcmp(found, name, n) == 0;
}

static void test_node_index(void) {
  buffer graph = {0}, body = {0};
  fsm_nodes nodes;
  fsm_error e;
  put_node(&graph, 1, "a", "Const");
  put_node(&body, 3, "x", "Const");
  put_node(&body, 3, "y", "Mul");
  put_function(&graph, "f", &body); /* in the middle */
  put_node(&graph, 1, "b", "Add");
  put_function(&graph, "g", &body); /* a second library */
  for (fsm_nodes_depth depth = FSM_NODES_COUNT; depth <= FSM_NODES_ROWS; depth++) {
    CHECK_EQ(scan_nodes(&graph, &nodes, depth, &e), FSM_OK);
    CHECK_EQ(nodes.n_nodes, 2);
    CHECK_EQ(nodes.n_function_nodes, 4);
    CHECK_EQ(nodes.n_functions, 2);
    if (depth == FSM_NODES_ROWS) {
      static const char *const names[] = {"a", "x", "y", "b", "x", "y"};
      static const char *const ops[] = {"Const", "Const", "Mul", "Add", "Const", "Mul"};
      static const uint32_t owners[] = {0, 1, 1, 0, 2, 2};
      const fsm_node *row = nodes.nodes.items;
      const fsm_function *function = nodes.functions.items;
      CHECK_EQ(nodes.nodes.n, 6);
      for (size_t i = 0; i < 6; i++) {
        CHECK_BYTES(graph.p + row[i].name, row[i].name_length, names[i], strlen(names[i]));
        CHECK(is_named(&nodes, row[i].op, ops[i]));
        CHECK_EQ(row[i].owner, owners[i]);
      }
      CHECK(is_named(&nodes, function[0].name, "f") && is_named(&nodes, function[1].name, "g"));
      CHECK_EQ(function[0].first_node, 1);
      CHECK_EQ(function[1].first_node, 4);
      CHECK_EQ(function[0].n_nodes + function[1].n_nodes, 4);
    }
    fsm_nodes_free(&nodes);
  }
  clear(&graph);
  clear(&body);
}

/* The rows that name something, one bit each. */
static unsigned rows_naming(const buffer *graph, fsm_naming what, const char *name,
                            fsm_status wanted) {
  fsm_nodes nodes;
  fsm_error e = {0};
  fsm_array rows = {0};
  fsm_src src;
  fsm_piece piece;
  unsigned found = 0;
  CHECK_EQ(scan_nodes(graph, &nodes, FSM_NODES_ROWS, &e), FSM_OK);
  fsm_src_memory(&src, &piece, graph->p, graph->size);
  CHECK_EQ(fsm_nodes_naming(&nodes, &src, what, (const uint8_t *)name, (uint32_t)strlen(name),
                            &rows, &e),
           wanted);
  for (size_t i = 0; i < rows.n; i++)
    found |= 1u << ((uint32_t *)rows.items)[i];
  free(rows.items);
  fsm_nodes_free(&nodes);
  return found;
}

/* A node with an attribute of which the AttrValue is given. */
static void put_with_attr(buffer *graph, unsigned number, const char *op, const buffer *value) {
  buffer node = {0};
  put_text(&node, 2, op);
  put_entry_of(&node, 5, "any", value);
  put_message(graph, number, &node);
  clear(&node);
}

static void test_nodes_that_name_a_function(void) {
  buffer graph = {0}, body = {0}, func = {0}, list = {0}, value = {0};
  put_call(&graph, 1, "f", true); /* row 0 */
  put_call(&graph, 1, "f_1", true);
  put_node(&graph, 1, "f", "f"); /* row 2: its op */
  put_node(&graph, 1, "f", "Add");
  put_text(&value, 2, "f"); /* a string is no function */
  put_with_attr(&graph, 1, "String", &value);
  clear(&value);
  put_text(&func, 1, "g");
  put_message(&list, 9, &func);
  clear(&func);
  put_text(&func, 1, "f");
  put_message(&list, 9, &func);
  put_message(&value, 1, &list);
  put_with_attr(&graph, 1, "Case", &value); /* row 5: the second of a list */
  clear(&value);
  clear(&list);
  put_message(&value, 10, &func);
  clear(&func);
  put_text(&func, 1, "g");
  put_entry_of(&func, 2, "inner", &value);
  clear(&value);
  put_message(&value, 10, &func);
  put_with_attr(&body, 3, "While", &value); /* row 6: an attribute of a function's name */
  put_function(&graph, "h", &body);
  CHECK_EQ(rows_naming(&graph, FSM_NAMING_FUNCTION, "f", FSM_OK), 1 | 4 | 32 | 64);
  CHECK_EQ(rows_naming(&graph, FSM_NAMING_FUNCTION, "f_1", FSM_OK), 2);
  CHECK_EQ(rows_naming(&graph, FSM_NAMING_FUNCTION, "none", FSM_OK), 0);
  clear(&graph);
  clear(&body);
  clear(&func);
  clear(&value);
}

static void test_functions_named_too_deep(void) {
  for (int depth = 30; depth <= 40; depth += 10) { /* three messages each */
    buffer graph = {0}, value = {0};
    for (int i = 0; i < depth; i++) {
      buffer func = {0};
      put_text(&func, 1, "g");
      if (i)
        put_entry_of(&func, 2, "inner", &value);
      clear(&value);
      put_message(&value, 10, &func);
      clear(&func);
    }
    put_with_attr(&graph, 1, "Deep", &value);
    rows_naming(&graph, FSM_NAMING_FUNCTION, "f", depth == 30 ? FSM_OK : FSM_E_DEPTH);
    clear(&graph);
    clear(&value);
  }
}

static void test_nodes_that_take_an_output(void) {
  static const char *const inputs[] = {"call", "call:1", "^call", "call_1:1", "cal", "call:o:2"};
  buffer graph = {0}, body = {0};
  for (size_t i = 0; i < 6; i++) {
    buffer node = {0};
    put_text(&node, 3, "other:0");
    put_text(&node, 3, inputs[i]);
    put_message(i < 5 ? &graph : &body, i < 5 ? 1 : 3, &node);
    clear(&node);
  }
  put_function(&graph, "h", &body);
  CHECK_EQ(rows_naming(&graph, FSM_NAMING_INPUT, "call", FSM_OK), 1 | 2 | 32);
  CHECK_EQ(rows_naming(&graph, FSM_NAMING_INPUT, "other", FSM_OK), 63);
  clear(&graph);
  clear(&body);
}

/* What of these ops the main graph needs, one bit each. */
static unsigned ops_needed(const buffer *graph, const char *const *ops, size_t n) {
  fsm_nodes nodes;
  fsm_error e;
  unsigned found = 0;
  CHECK_EQ(scan_nodes(graph, &nodes, FSM_NODES_OPS, &e), FSM_OK);
  uint8_t *used = malloc(nodes.names.ends.n + 1);
  CHECK(used != NULL);
  if (used) {
    CHECK_EQ(fsm_nodes_ops_used(&nodes, used), FSM_OK);
    for (uint32_t id = 0; id < nodes.names.ends.n; id++)
      for (size_t i = 0; i < n; i++)
        if (used[id] && is_named(&nodes, id, ops[i]))
          found |= 1u << i;
  }
  free(used);
  fsm_nodes_free(&nodes);
  return found;
}

static void test_ops_that_the_main_graph_needs(void) {
  static const char *const ops[] = {"Const", "Mul", "Never", "Last", "f"};
  buffer graph = {0}, f = {0}, g = {0}, dead = {0}, first = {0};
  put_node(&f, 3, "x", "Mul");
  put_call(&f, 3, "g", true);
  put_call(&g, 3, "f", false); /* in a circle */
  put_node(&g, 3, "y", "Last");
  put_node(&dead, 3, "z", "Never");
  put_node(&first, 3, "w", "Never"); /* of two functions with one name the last counts */
  put_function(&graph, "dead", &dead);
  put_function(&graph, "f", &first);
  put_node(&graph, 1, "n", "Const");
  put_call(&graph, 1, "f", true); /* before the function itself */
  put_function(&graph, "f", &f);
  put_function(&graph, "g", &g);
  CHECK_EQ(ops_needed(&graph, ops, 5), 1 | 2 | 8);
  clear(&graph);
  put_function(&graph, "g", &g);
  put_function(&graph, "f", &f);
  put_node(&graph, 1, "n", "f"); /* called as an op */
  CHECK_EQ(ops_needed(&graph, ops, 5), 2 | 8);
  clear(&graph);
  clear(&f);
  clear(&g);
  clear(&dead);
  clear(&first);
}

static void test_the_last_name_and_op_count(void) {
  buffer graph = {0}, node = {0};
  fsm_nodes nodes;
  fsm_error e;
  put_text(&node, 2, "Old");
  put_text(&node, 1, "old");
  put_int(&node, 1, 5); /* a wrong wire type is no name */
  put_text(&node, 2, "New");
  put_text(&node, 1, "new");
  put_message(&graph, 1, &node);
  CHECK_EQ(scan_nodes(&graph, &nodes, FSM_NODES_ROWS, &e), FSM_OK);
  const fsm_node *row = nodes.nodes.items;
  CHECK_BYTES(graph.p + row->name, row->name_length, "new", 3);
  CHECK(is_named(&nodes, row->op, "New"));
  fsm_nodes_free(&nodes);
  clear(&graph);
  clear(&node);
}

/* A node of more than 16 KiB is not read whole; its op may stand at its end. */
static void test_large_nodes(void) {
  buffer graph = {0}, node = {0}, value = {0};
  fsm_nodes nodes;
  fsm_error e;
  static uint8_t zeros[40000];
  put_tag(&value, 2, FSM_LEN);
  put_varint(&value, sizeof zeros);
  put(&value, zeros, sizeof zeros);
  put_text(&node, 1, "big");
  put_entry_of(&node, 5, "value", &value);
  put_text(&node, 2, "Const");
  put_message(&graph, 1, &node);
  put_node(&graph, 1, "next", "Add");
  CHECK_EQ(scan_nodes(&graph, &nodes, FSM_NODES_ROWS, &e), FSM_OK);
  const fsm_node *row = nodes.nodes.items;
  CHECK(is_named(&nodes, row[0].op, "Const") && is_named(&nodes, row[1].op, "Add"));
  CHECK_BYTES(graph.p + row[0].name, row[0].name_length, "big", 3);
  fsm_nodes_free(&nodes);
  clear(&graph);
  clear(&node);
  clear(&value);
}

static void test_an_op_has_at_most_16_kib(void) {
  for (size_t size = 16 << 10; size <= (16 << 10) + 1; size++) {
    buffer graph = {0}, node = {0};
    fsm_nodes nodes;
    fsm_error e = {0};
    put_tag(&node, 2, FSM_LEN);
    put_varint(&node, size);
    for (size_t i = 0; i < size; i++)
      put_byte(&node, 'x');
    put_message(&graph, 1, &node);
    bool fits = size == 16 << 10;
    CHECK_EQ(scan_nodes(&graph, &nodes, FSM_NODES_OPS, &e), fits ? FSM_OK : FSM_E_LIMIT);
    if (!fits) {
      CHECK_EQ(e.offset, 8);
      CHECK_EQ(e.need, 16 << 10);
      CHECK_EQ(e.have, size);
    }
    fsm_nodes_free(&nodes);
    clear(&graph);
    clear(&node);
  }
}

static void test_broken_nodes(void) {
  static const struct {
    const char *bytes;
    size_t n;
    fsm_status status;
    uint64_t offset;
  } broken[] = {
      {"\x0a\x03\x0a\x05n", 5, FSM_E_TRUNCATED, 2},
      {"\x0a\x02\x00\x00", 4, FSM_E_TAG, 2},
      {"\x0a\x05\x0a\x01n\x13\x15", 7, FSM_E_TRUNCATED, 6},
      {"\x0a\x01\x0a", 3, FSM_E_TRUNCATED, 3},
      {"\x12\x03\x0a\x01\x1a", 5, FSM_E_TRUNCATED, 5},
  };
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
    buffer graph = {0};
    fsm_nodes nodes;
    fsm_error e = {0};
    put(&graph, broken[i].bytes, broken[i].n);
    CHECK_EQ(scan_nodes(&graph, &nodes, FSM_NODES_ROWS, &e), broken[i].status);
    CHECK_EQ(e.offset, broken[i].offset);
    fsm_nodes_free(&nodes);
    clear(&graph);
  }
}

/* ---- the program hash ---- */

static void test_irregular_nodes(void) {
  static const bool is_call[] = {true, false, true};
  buffer graph = {0}, node = {0}, type = {0}, other = {0};
  reading r;
  fsm_irregular found_node;
  bool found = true;
  size_t n = 0;
  put_node(&graph, 1, "plain", "Add");
  put_call(&graph, 1, "f_1", true);
  put_int(&type, 6, 7);
  put_int(&other, 6, 1);
  put_text(&node, 2, "Const");
  put_entry_of(&node, 5, "dtype", &other);
  put_entry_of(&node, 5, "dtype", &type); /* the last of equal keys counts */
  put_message(&graph, 1, &node);
  clear(&node);
  put_text(&node, 2, "Const");
  put_entry_of(&node, 5, "dtype", &type);
  put_entry_of(&node, 5, "dtype", &other);
  put_message(&graph, 1, &node);
  put_call(&graph, 1, "f_2", false);
  fsm_cursor *c = open_bytes(&r, graph.p, graph.size, 24);
  while (found) {
    CHECK_EQ(fsm_program_next(c, &found_node, &found), FSM_OK);
    if (found && n < 3)
      CHECK_EQ(found_node.is_call, is_call[n]);
    n += found;
  }
  CHECK_EQ(n, 3);
  clear(&graph);
  clear(&node);
  clear(&type);
  clear(&other);
}

/* ---- whole messages ---- */

static const fsm_wanted whole_message = {0, FSM_N_MESSAGES};

static fsm_status parse(reading *r, fsm_parsed *p, const buffer *m, fsm_message message,
                        fsm_wanted wanted) {
  fsm_cursor *c = open_bytes(r, m->p, m->size, 24);
  fsm_span whole = {0, m->size};
  fsm_parsed_free(p);
  return fsm_parse(p, c, message, &whole, 1, &wanted);
}

static void test_a_message_with_all_that_lies_in_it(void) {
  static const struct {
    unsigned number;
    uint64_t value, size;
  } want[] = {{2, 0, 4}, {2, 0, 1}, {1, UINT64_MAX, 0}, {2, 0, 1}, {1, 7, 0}, {1, 0, 4}, {3, 1, 0}};
  buffer spec = {0}, shape = {0}, dim = {0};
  fsm_parsed p = {0};
  reading r;
  put_int(&dim, 1, -1);
  put_message(&shape, 2, &dim);
  clear(&dim);
  put_int(&dim, 1, 7);
  put_text(&dim, 60, "unknown");
  put_message(&shape, 2, &dim);
  put_message(&spec, 2, &shape);
  put_text(&spec, 1, "name");
  put_int(&spec, 3, 1);
  CHECK_EQ(parse(&r, &p, &spec, FSM_MSG_TensorSpecProto, whole_message), FSM_OK);
  const fsm_value *v = p.values.items;
  CHECK_EQ(p.values.n, sizeof want / sizeof *want);
  for (size_t i = 0; i < p.values.n; i++) {
    CHECK_EQ(v[i].field->number, want[i].number);
    CHECK_EQ(v[i].value, want[i].value);
    CHECK_EQ(v[i].size, want[i].size);
  }
  CHECK_EQ(p.text.n, 4);
  CHECK(memcmp(p.text.items, "name", 4) == 0);
  CHECK_EQ(parse(&r, &p, &spec, FSM_MSG_TensorSpecProto, (fsm_wanted){3, FSM_N_MESSAGES}), FSM_OK);
  CHECK_EQ(p.values.n, 1);
  CHECK_EQ(parse(&r, &p, &spec, FSM_MSG_TensorSpecProto, (fsm_wanted){0, FSM_MSG_TensorShapeProto}),
           FSM_OK);
  v = p.values.items;
  CHECK_EQ(p.values.n, 3);
  CHECK_EQ(v[0].at, 2);
  CHECK_EQ(v[0].size, shape.size);
  fsm_parsed_free(&p);
  clear(&spec);
  clear(&shape);
  clear(&dim);
}

static void test_packed_values_one_by_one(void) {
  buffer m = {0}, packed = {0};
  fsm_parsed p = {0};
  reading r;
  put_varint(&packed, 300);
  put_varint(&packed, (uint64_t)-1);
  put_message(&m, 2, &packed);
  put_int(&m, 2, 5);
  CHECK_EQ(parse(&r, &p, &m, FSM_MSG_SavedConcreteFunction, whole_message), FSM_OK);
  const fsm_value *v = p.values.items;
  CHECK_EQ(p.values.n, 3);
  CHECK_EQ(v[0].value, 300);
  CHECK_EQ(v[1].value, (uint64_t)-1);
  CHECK_EQ(v[2].value, 5);
  fsm_parsed_free(&p);
  clear(&m);
  clear(&packed);
}

static void test_limits_of_a_whole_message(void) {
  buffer m = {0}, outer = {0};
  fsm_parsed p = {0};
  reading r;
  for (unsigned depth = 0; depth <= FSM_MAX_DEPTH; depth++) {
    fsm_message message = depth % 2 ? FSM_MSG_ListValue : FSM_MSG_StructuredValue;
    CHECK_EQ(parse(&r, &p, &m, message, whole_message), FSM_OK);
    put_message(&outer, depth % 2 ? 51 : 1, &m);
    clear(&m);
    m = outer;
    outer = (buffer){0};
  }
  CHECK_EQ(parse(&r, &p, &m, FSM_MSG_ListValue, whole_message), FSM_E_DEPTH);
  clear(&m);
  for (uint32_t i = 0; i < FSM_MAX_VALUES; i++)
    put_message(&m, 1, &outer);
  CHECK_EQ(parse(&r, &p, &m, FSM_MSG_ListValue, whole_message), FSM_OK);
  put_message(&m, 1, &outer);
  CHECK_EQ(parse(&r, &p, &m, FSM_MSG_ListValue, whole_message), FSM_E_LIMIT);
  CHECK_EQ(r.c.error.offset, m.size);
  fsm_parsed_free(&p);
  clear(&m);
}

int main(void) {
  RUN(test_every_wire_type);
  RUN(test_varints_wider_than_needed);
  RUN(test_refusals);
  RUN(test_groups_nest_a_hundred_deep);
  RUN(test_a_message_ends_what_is_in_it);
  RUN(test_windows);
  RUN(test_fingerprint64);
  RUN(test_fingerprint64_in_parts);
  RUN(test_fingerprint_cat_minds_the_order);
  RUN(test_sorts_maps_in_place);
  RUN(test_leaves_equal_keys_alone);
  RUN(test_where_canonical_form_ends);
  RUN(test_canonical_form);
  RUN(test_memory_and_stream_agree);
  RUN(test_lengths_settle_in_two_passes);
  RUN(test_limit_of_written_bytes);
  RUN(test_limit_of_runs);
  RUN(test_node_index);
  RUN(test_nodes_that_name_a_function);
  RUN(test_functions_named_too_deep);
  RUN(test_nodes_that_take_an_output);
  RUN(test_ops_that_the_main_graph_needs);
  RUN(test_the_last_name_and_op_count);
  RUN(test_large_nodes);
  RUN(test_an_op_has_at_most_16_kib);
  RUN(test_broken_nodes);
  RUN(test_irregular_nodes);
  RUN(test_a_message_with_all_that_lies_in_it);
  RUN(test_packed_values_one_by_one);
  RUN(test_limits_of_a_whole_message);
  return check_report();
}
