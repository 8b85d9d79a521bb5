// A host program in C99 over libedgellm.a: what edgellm.h promises, against the program's own output. Nothing here comes
// from a heap once it is closed; every block lies between guards, at an odd address.
#define _POSIX_C_SOURCE 200809L
#include "edgellm.h"

#include <errno.h>
#include <fenv.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

// --- Checks ------------------------------------------------------------------------------------------------------------------

static int checks, failures;

static void check(int holds, const char* what, int line) {
  checks++;
  if (holds) return;
  failures++;
  fprintf(stderr, "%s:%d: %s\n", __FILE__, line, what);
}
#define CHECK(condition) check((condition) != 0, #condition, __LINE__)

static edgellm_error error;

static void check_ok(edgellm_code code, const char* what, int line) {
  check(code == EDGELLM_OK, what, line);
  if (code != EDGELLM_OK) fprintf(stderr, "  %s\n", error.text);
}
#define CHECK_OK(call) check_ok((call), #call, __LINE__)

static void check_refused(edgellm_code code, edgellm_code expected, const char* part, const char* what, int line) {
  check(code == expected && strstr(error.text, part) != NULL, what, line);
  if (code != expected || !strstr(error.text, part)) fprintf(stderr, "  code %d: %s\n", (int)code, error.text);
  strcpy(error.text, "");
}
#define CHECK_REFUSED(call, code, part) check_refused((call), (code), (part), #call, __LINE__)

// --- A heap that can be closed -----------------------------------------------------------------------------------------------

static int heap_closed, heap_calls;

#if defined(__linux__) && !defined(SANITIZED)
#define OWN_HEAP 1
static union {
  unsigned char bytes[192 << 20];
  long double alignment;
} heap;
static size_t heap_used;

static void* take(size_t alignment, size_t bytes) {
  size_t* size;
  __atomic_add_fetch(&heap_calls, heap_closed, __ATOMIC_SEQ_CST);
  bytes = (bytes + 2 * alignment + sizeof heap.alignment) / sizeof heap.alignment * sizeof heap.alignment;
  {
    size_t end = __atomic_add_fetch(&heap_used, bytes, __ATOMIC_SEQ_CST);
    size_t begin = (end - bytes + sizeof heap.alignment + alignment - 1) / alignment * alignment;
    if (end > sizeof heap.bytes || bytes > sizeof heap.bytes) return NULL;
    size = (size_t*)(void*)(heap.bytes + begin) - 1;
    *size = end - begin;
    return heap.bytes + begin;
  }
}

void* malloc(size_t bytes) {
  return take(sizeof heap.alignment, bytes);
}
void free(void* piece) {
  (void)piece;
  __atomic_add_fetch(&heap_calls, heap_closed && piece, __ATOMIC_SEQ_CST);
}
void* calloc(size_t count, size_t bytes) {
  return take(sizeof heap.alignment, count * bytes);  // the heap is zeros, and nothing is handed out twice
}
void* realloc(void* old, size_t bytes) {
  void* piece = take(sizeof heap.alignment, bytes);
  size_t had = old ? ((size_t*)old)[-1] : 0;
  if (piece && old) memcpy(piece, old, had < bytes ? had : bytes);
  return piece;
}
void* aligned_alloc(size_t alignment, size_t bytes) {
  return take(alignment, bytes);
}
void* memalign(size_t alignment, size_t bytes);
void* memalign(size_t alignment, size_t bytes) {
  return take(alignment, bytes);
}
int posix_memalign(void** piece, size_t alignment, size_t bytes) {
  *piece = take(alignment, bytes);
  return *piece ? 0 : ENOMEM;
}
#endif

// --- The model and an engine between guards ------------------------------------------------------------------------------------

#define MODEL "models/stories.tm2"
#define PROMPT "Once upon a time, Tom found a red"
enum { GUARD = 4096, ODD = 1, MAX_IDS = 256, TOKENS = 40 };

static const void* model;  // mapped
static size_t model_bytes;

typedef struct Host {
  edgellm_engine* engine;
  edgellm_facts facts;
  unsigned char* area;  // guard, block, guard
} Host;

static edgellm_config plain(void) {
  edgellm_config config = {0};
  config.model = model;
  config.model_bytes = model_bytes;
  config.sessions = 2;
  config.context = 256;
  config.text_bytes = 1000;
  return config;
}

static unsigned char* block_of(const Host* host) {
  return host->area + GUARD + ODD;
}

static Host open_host(edgellm_config config) {
  Host host = {0};
  heap_closed = 0;
  CHECK_OK(edgellm_plan(&config, &host.facts, &error));
  host.area = malloc(host.facts.block_bytes + 2 * GUARD + ODD);
  if (!host.area) {
    fprintf(stderr, "no memory for %lu bytes\n", (unsigned long)host.facts.block_bytes);
    exit(1);
  }
  memset(host.area, 0xa5, host.facts.block_bytes + 2 * GUARD + ODD);
  heap_closed = config.threads <= 1;  // a thread's stack and block are the system's
  CHECK_OK(edgellm_init(&config, block_of(&host), host.facts.block_bytes, &host.engine, &error));
  heap_closed = 1;
  return host;
}

static void close_host(Host* host) {
  size_t i, bytes = host->facts.block_bytes;
  int whole = 1;
  edgellm_close(host->engine);
  heap_closed = 0;
  for (i = 0; i < GUARD; i++)
    whole &= host->area[i] == 0xa5 && block_of(host)[bytes + i] == 0xa5;
  CHECK(whole);
  CHECK(heap_calls == 0);
  free(host->area);
}

static int32_t prompt_ids(edgellm_engine* engine, const char* text, int32_t* ids) {
  int32_t count = 0;
  CHECK_OK(edgellm_tokenize(engine, text, strlen(text), EDGELLM_FIRST, ids, MAX_IDS, &count, &error));
  return count;
}

static void feed(edgellm_engine* engine, int32_t session, const int32_t* ids, int32_t count) {
  edgellm_input input = {0};
  input.session = session;
  input.count = count;
  input.ids = ids;
  input.logits = 1;
  CHECK_OK(edgellm_step(engine, &input, 1, &error));
}

// Goes on for `count` ids from where the session is, its next id pending. Returns the hash of the last logits.
static uint64_t go_on(edgellm_engine* engine, int32_t session, int32_t count) {
  uint64_t hash = 0;
  while (count-- > 0) {
    int32_t id = edgellm_pending(engine, session);
    feed(engine, session, &id, 1);
    hash = edgellm_logits_hash(engine, session);
    CHECK_OK(edgellm_sample(engine, session, NULL, &id, &error));
  }
  return hash;
}

static void begin(edgellm_engine* engine, int32_t session, const char* text) {
  int32_t ids[MAX_IDS], id, count = prompt_ids(engine, text, ids);
  CHECK_OK(edgellm_reset(engine, session, &error));
  feed(engine, session, ids, count);
  CHECK_OK(edgellm_sample(engine, session, NULL, &id, &error));
  CHECK(edgellm_pending(engine, session) == id);
}

static uint64_t run(edgellm_engine* engine, int32_t session) {
  begin(engine, session, PROMPT);
  return go_on(engine, session, TOKENS - 1);
}

// --- The program's own answer ------------------------------------------------------------------------------------------------

static void program(const char* arguments, const char* redirect, char* out, size_t room) {
  char command[1024];
  size_t n;
  FILE* pipe;
  const char* name = getenv("EDGELLM");
  snprintf(command, sizeof command, "%s %s %s", name ? name : "build/edgellm", arguments, redirect);
  pipe = popen(command, "r");
  n = pipe ? fread(out, 1, room - 1, pipe) : 0;
  out[n] = 0;
  CHECK(pipe && pclose(pipe) == 0);
}

static char story[4096];     // what the program prints for PROMPT
static uint64_t story_hash;  // of its last logits

static void ask_program(void) {
  char notes[4096];
  const char *arguments = MODEL " -t 0 -n 40 --ctx 256 --hash -i '" PROMPT "'", *hash;
  program(arguments, "2>/dev/null", story, sizeof story);
  program(arguments, "2>&1 >/dev/null", notes, sizeof notes);
  hash = strstr(notes, "logits hash: ");
  CHECK(hash != NULL && strlen(story) > 60);
  if (hash) story_hash = strtoull(hash + 13, NULL, 16);
}

// --- Tests -------------------------------------------------------------------------------------------------------------------

// The text and the bits of the program, for greedy and for drawn ids.
static void test_the_programs_text(edgellm_config config, const edgellm_sampling* how, const char* expected) {
  char text[4096] = "";
  size_t size = 0, bytes = 0;
  int32_t ids[MAX_IDS], count, i;
  uint64_t hash = 0;
  edgellm_decoder decoder = {0};
  Host host = open_host(config);
  decoder.continues = 1;
  count = prompt_ids(host.engine, PROMPT, ids);
  for (i = 0; i < TOKENS; i++) {
    feed(host.engine, 1, ids, count);
    hash = edgellm_logits_hash(host.engine, 1);
    CHECK_OK(edgellm_sample(host.engine, 1, how, ids, &error));
    if (edgellm_is_stop(host.engine, ids[0])) break;
    CHECK_OK(edgellm_decode(host.engine, &decoder, ids[0], text + size, sizeof text - size, &bytes, &error));
    size += bytes;
    count = 1;
  }
  CHECK_OK(edgellm_decode(host.engine, &decoder, EDGELLM_END, text + size, sizeof text - size, &bytes, &error));
  if (size && text[size - 1] != '\n') strcat(text, "\n");
  CHECK(strcmp(text, expected) == 0);
  if (strcmp(text, expected) != 0) fprintf(stderr, "  %s  %s", text, expected);
  if (!how) CHECK(hash == story_hash);
  close_host(&host);
}

static void test_drawn_ids(void) {
  char expected[4096];
  edgellm_sampling how = {0};
  how.temperature = 0.75f;
  how.top_p = 0.9f;
  how.top_k = 40;
  how.min_p = 0.01f;
  how.repeat_penalty = 1.25f;
  how.seed = 18446744073709551557u;
  program(MODEL
          " -t 0.75 -p 0.9 -k 40 --min-p 0.01 --repeat-penalty 1.25 -s 18446744073709551557 -n 40 --ctx 256 -i '" PROMPT "'",
          "2>/dev/null", expected, sizeof expected);
  test_the_programs_text(plain(), &how, expected);
}

static void test_from_memory(void) {
  unsigned char* area = malloc(model_bytes + 64);
  unsigned char* copy = area + (64 - (uintptr_t)area % 64);
  edgellm_config config = plain();
  memcpy(copy, model, model_bytes);
  config.model = copy;
  config.check = 1;
  test_the_programs_text(config, NULL, story);
  free(area);
}

// The same bits whatever is configured that may not change them.
static void test_same_bits(void) {
  static const struct {
    int32_t sessions, chunk, threads, window;
    const char* kernels;
  } ways[] = {{0, 0, 0, 0, NULL}, {3, 1, 1, 0, NULL}, {1, 7, 2, 0, NULL}, {1, 0, 5, 0, "ref"}, {1, 0, 1, 250, NULL}};
  size_t i;
  for (i = 0; i < sizeof ways / sizeof *ways; i++) {
    Host host;
    edgellm_config config = plain();
    config.sessions = ways[i].sessions;
    config.chunk = ways[i].chunk;
    config.threads = ways[i].threads;
    config.window = ways[i].window;
    config.kernels = ways[i].kernels;
    host = open_host(config);
    CHECK(run(host.engine, 0) == story_hash);
    close_host(&host);
  }
}

static void test_facts(void) {
  edgellm_config config = plain();
  edgellm_facts facts, wider;
  CHECK_OK(edgellm_plan(&config, &facts, &error));
  CHECK(facts.vocabulary > 256 && facts.layers > 0 && facts.trained_context >= 256 && facts.tokenizer == 1);
  CHECK(facts.sessions == 2 && facts.context == 256 && facts.chunk == 64 && facts.threads == 1 && facts.unbounded == 0);
  CHECK(strcmp(facts.family, "transformer") == 0 && strlen(facts.kernels) > 0);
  CHECK(facts.weight_bytes > 0 && facts.weight_bytes < model_bytes);
  CHECK(facts.first_id >= 0 && facts.first_id < facts.vocabulary);
  config.context = 512;
  config.kv = EDGELLM_KV_F16;
  CHECK_OK(edgellm_plan(&config, &wider, &error));
  CHECK(wider.state_bytes > 3 * facts.state_bytes && wider.block_bytes > facts.block_bytes + wider.state_bytes);
  config = plain();
  config.window = 32;
  CHECK_OK(edgellm_plan(&config, &wider, &error));
  CHECK(wider.unbounded == 1 && wider.state_bytes < facts.state_bytes);
  CHECK(strlen(edgellm_version()) >= 5);
}

// Two timelines, in turn and in one pass: each as if it were alone.
static void test_two_sessions(void) {
  static const char* const texts[] = {PROMPT, "The little cat"};
  uint64_t alone[2], together[2];
  edgellm_input inputs[2];
  int32_t ids[2][MAX_IDS], i, s;
  Host host = open_host(plain());
  memset(inputs, 0, sizeof inputs);
  for (s = 0; s < 2; s++) {
    begin(host.engine, 0, texts[s]);
    alone[s] = go_on(host.engine, 0, 20);
  }
  begin(host.engine, 0, texts[0]);
  begin(host.engine, 1, texts[1]);
  for (i = 0; i < 20; i++) {
    together[0] = go_on(host.engine, 0, 1);
    together[1] = go_on(host.engine, 1, 1);
  }
  CHECK(alone[0] == together[0] && alone[1] == together[1]);

  for (s = 0; s < 2; s++) {
    CHECK_OK(edgellm_reset(host.engine, s, &error));
    inputs[s].session = s;
    inputs[s].count = prompt_ids(host.engine, texts[s], ids[s]);
    inputs[s].ids = ids[s];
    inputs[s].logits = 1;
  }
  for (i = 0; i < 21; i++) {
    CHECK_OK(edgellm_step(host.engine, inputs, 2, &error));
    for (s = 0; s < 2; s++) {
      together[s] = edgellm_logits_hash(host.engine, s);
      CHECK_OK(edgellm_sample(host.engine, s, NULL, &ids[s][0], &error));
      inputs[s].count = 1;
    }
  }
  CHECK(alone[0] == together[0] && alone[1] == together[1]);
  CHECK(alone[0] != alone[1]);
  close_host(&host);
}

// The notes of the program when it goes on for 12 ids from a saved state, and its exit code.
static void continue_in_program(const unsigned char* image, size_t bytes, char* notes, size_t room) {
  char path[] = "/tmp/edgellm_state_XXXXXX", arguments[200];
  int descriptor;
  heap_closed = 0;
  descriptor = mkstemp(path);
  CHECK(descriptor >= 0 && write(descriptor, image, bytes) == (ssize_t)bytes && close(descriptor) == 0);
  snprintf(arguments, sizeof arguments, MODEL " -t 0 -n 12 --ctx 256 --hash --state-load %s", path);
  program(arguments, "2>&1 >/dev/null; echo code $?", notes, room);
  unlink(path);
  heap_closed = 1;
}

// Saved, thrown away, restored elsewhere: the bits of a run that never stopped.
static void test_save_and_restore(void) {
  char notes[4096], hash[40];
  uint64_t straight;
  int32_t pending, position;
  size_t i;
  edgellm_config other = plain();
  Host first = open_host(plain()), second;
  size_t bytes = first.facts.state_bytes;
  unsigned char *area, *image;
  heap_closed = 0;
  area = malloc(bytes + 2 * GUARD);
  image = area + GUARD + ODD;
  memset(area, 0xa5, bytes + 2 * GUARD);
  heap_closed = 1;
  begin(first.engine, 1, PROMPT);
  go_on(first.engine, 1, 10);
  CHECK_OK(edgellm_save(first.engine, 1, image, bytes, &error));
  CHECK(image[-1] == 0xa5 && image[bytes] == 0xa5);
  pending = edgellm_pending(first.engine, 1);
  position = edgellm_position(first.engine, 1);
  straight = go_on(first.engine, 1, 12);
  CHECK_OK(edgellm_restore(first.engine, 0, image, bytes, &error));
  CHECK(go_on(first.engine, 0, 12) == straight);
  continue_in_program(image, bytes, notes, sizeof notes);
  snprintf(hash, sizeof hash, "logits hash: %08lx%08lx", (unsigned long)(straight >> 32),
           (unsigned long)(straight & 0xffffffff));
  CHECK(strstr(notes, hash) != NULL && strstr(notes, "code 0") != NULL);

  second = open_host(plain());
  CHECK_OK(edgellm_restore(second.engine, 0, image, bytes, &error));
  CHECK(edgellm_pending(second.engine, 0) == pending && edgellm_position(second.engine, 0) == position);
  CHECK(edgellm_logits(second.engine, 0) == NULL);
  CHECK_REFUSED(edgellm_save(second.engine, 0, image, bytes - 1, &error), EDGELLM_USAGE, "image has room for");
  CHECK_REFUSED(edgellm_restore(second.engine, 0, image, 10, &error), EDGELLM_FAILED, "10 bytes");
  CHECK_REFUSED(edgellm_restore(second.engine, 0, image, bytes - 1, &error), EDGELLM_FAILED, "bytes, expected");
  for (i = 0; i < bytes; i += i < 600 ? 1 : 4999) {
    image[i] ^= 0x10;
    CHECK(edgellm_restore(second.engine, 0, image, bytes, &error) == EDGELLM_FAILED);
    image[i] ^= 0x10;
  }
  CHECK(go_on(second.engine, 0, 12) == straight);  // refused bytes touched nothing
  close_host(&second);

  // Nothing pending: whoever goes on must say how.
  feed(first.engine, 0, &pending, 1);
  CHECK_OK(edgellm_save(first.engine, 0, image, bytes, &error));
  continue_in_program(image, bytes, notes, sizeof notes);
  CHECK(strstr(notes, "no id waits") != NULL && strstr(notes, "code 1") != NULL);
  CHECK_OK(edgellm_restore(first.engine, 1, image, bytes, &error));
  CHECK(edgellm_pending(first.engine, 1) == -1);
  close_host(&first);

  // Whatever changes the bits of a state is named.
  other.context = 128;
  second = open_host(other);
  CHECK_REFUSED(edgellm_restore(second.engine, 0, image, bytes, &error), EDGELLM_FAILED, "saved with --ctx 256");
  close_host(&second);
  other = plain();
  other.f32_activations = 1;
  second = open_host(other);
  CHECK_REFUSED(edgellm_restore(second.engine, 0, image, bytes, &error), EDGELLM_FAILED, "saved with --activations int8");
  close_host(&second);
  other = plain();
  other.kv = EDGELLM_KV_F16;
  second = open_host(other);
  CHECK_REFUSED(edgellm_restore(second.engine, 0, image, bytes, &error), EDGELLM_FAILED, "saved with --kv i8");
  close_host(&second);
  free(area);
}

// Flush-to-zero, denormals-are-zero and rounding up, as a game or an audio host may have set them.
static void set_flushing(int on) {
#if defined(__x86_64__)
  unsigned state;
  __asm__ volatile("stmxcsr %0" : "=m"(state));
  state = on ? state | 0x8040u : state & ~0x8040u;
  __asm__ volatile("ldmxcsr %0" : : "m"(state));
#elif defined(__aarch64__)
  uint64_t state;
  __asm__ volatile("mrs %0, fpcr" : "=r"(state));
  state = on ? state | 1u << 24 : state & ~(uint64_t)(1u << 24);
  __asm__ volatile("msr fpcr, %0" : : "r"(state));
#else
  (void)on;
#endif
}

static uint64_t float_control(void) {
#if defined(__x86_64__)
  unsigned state;
  __asm__ volatile("stmxcsr %0" : "=m"(state));
  return state;
#elif defined(__aarch64__)
  uint64_t state;
  __asm__ volatile("mrs %0, fpcr" : "=r"(state));
  return state;
#else
  return (uint64_t)fegetround();
#endif
}

static void test_float_environment(void) {
  uint64_t hash, before, after;
  edgellm_config config = plain();
  Host host;
  fesetround(FE_UPWARD);
  set_flushing(1);
  before = float_control();
  errno = 1234;
  host = open_host(config);
  hash = run(host.engine, 0);
  after = float_control();
  CHECK(errno == 1234);
  CHECK(fegetround() == FE_UPWARD);
  set_flushing(0);
  fesetround(FE_TONEAREST);
  CHECK(hash == story_hash);
  CHECK(before == after);
  close_host(&host);
}

// Logits are the caller's to change; greedy then takes what is largest.
static void test_own_logits(void) {
  int32_t id;
  float* logits;
  Host host = open_host(plain());
  edgellm_input input = {0};
  begin(host.engine, 0, PROMPT);
  id = edgellm_pending(host.engine, 0);
  feed(host.engine, 0, &id, 1);
  logits = edgellm_logits(host.engine, 0);
  CHECK(logits != NULL && edgellm_logits(host.engine, 1) == NULL);
  if (logits) logits[77] = 1e30f;
  CHECK_OK(edgellm_sample(host.engine, 0, NULL, &id, &error));
  CHECK(id == 77);
  CHECK_REFUSED(edgellm_sample(host.engine, 0, NULL, &id, &error), EDGELLM_USAGE, "session 0 has no logits");
  input.ids = &id;
  input.count = 1;
  CHECK_OK(edgellm_step(host.engine, &input, 1, &error));
  CHECK(edgellm_logits(host.engine, 0) == NULL && edgellm_logits_hash(host.engine, 0) == 0);
  CHECK(edgellm_pending(host.engine, 0) == -1);
  close_host(&host);
}

static void test_text(void) {
  static const char text[] = "A cat \xc3\xa4 and \xe6\x97\xa5.";
  int32_t ids[MAX_IDS], count = 0, all = 0, i;
  char out[256] = "";
  size_t size = 0, bytes;
  edgellm_decoder decoder = {0};
  Host host = open_host(plain());
  CHECK_OK(edgellm_tokenize(host.engine, text, strlen(text), 0, ids, MAX_IDS, &all, &error));
  CHECK_REFUSED(edgellm_tokenize(host.engine, text, strlen(text), 0, ids, all - 1, &count, &error), EDGELLM_USAGE,
                "ids has room for");
  CHECK(count == all);
  CHECK(edgellm_tokenize(host.engine, text, strlen(text), EDGELLM_FIRST, NULL, 0, &count, NULL) == EDGELLM_USAGE);
  CHECK(count == all + 1);
  for (i = 0; i <= all; i++) {
    int32_t id = i < all ? ids[i] : EDGELLM_END;
    size_t needed;
    if (edgellm_decode(host.engine, &decoder, id, out + size, 1, &needed, &error) != EDGELLM_OK) {
      CHECK(needed > 0);
      CHECK_OK(edgellm_decode(host.engine, &decoder, id, out + size, needed + 1, &bytes, &error));
      CHECK(bytes == needed);
    } else {
      bytes = 0;
      CHECK(needed == 0);
    }
    size += bytes;
    CHECK(out[size] == 0);
  }
  CHECK(strcmp(out, text) == 0);
  if (strcmp(out, text) != 0) fprintf(stderr, "  %s\n", out);
  CHECK_OK(edgellm_tokenize(host.engine, NULL, 0, EDGELLM_FIRST, ids, 1, &count, &error));
  CHECK(count == 1 && ids[0] == host.facts.first_id);
  close_host(&host);
}

static void test_refused_calls(void) {
  char text[2000];
  int32_t ids[300] = {0}, id = 0, count = 0;
  size_t bytes = 0;
  void* block;
  edgellm_facts facts;
  edgellm_engine* engine = NULL;
  edgellm_input inputs[3];
  edgellm_sampling how = {0};
  edgellm_decoder decoder = {0};
  edgellm_config config = plain();
  Host host;
  const void* map;

  CHECK_REFUSED(edgellm_map(NULL, &map, &bytes, &error), EDGELLM_USAGE, "path is NULL");
  CHECK_REFUSED(edgellm_map("absent.tm2", &map, &bytes, &error), EDGELLM_BAD_MODEL, "absent.tm2: No such file");
  CHECK_REFUSED(edgellm_map("models", &map, &bytes, &error), EDGELLM_BAD_MODEL, "is a folder");
  CHECK_REFUSED(edgellm_map("/dev/null", &map, &bytes, &error), EDGELLM_BAD_MODEL, "not a regular file");
  CHECK_REFUSED(edgellm_plan(NULL, &facts, &error), EDGELLM_USAGE, "config is NULL");
  CHECK_REFUSED(edgellm_plan(&config, NULL, &error), EDGELLM_USAGE, "facts is NULL");
  CHECK(edgellm_plan(NULL, NULL, NULL) == EDGELLM_USAGE);

#define CONFIG_REFUSED(member, value, code, part)                    \
  do {                                                               \
    edgellm_config wrong = plain();                                  \
    wrong.member = (value);                                          \
    CHECK_REFUSED(edgellm_plan(&wrong, &facts, &error), code, part); \
  } while (0)
  CONFIG_REFUSED(model, NULL, EDGELLM_USAGE, "config.model is NULL");
  CONFIG_REFUSED(model, (const char*)model + 8, EDGELLM_USAGE, "8 bytes past a multiple of 64");
  CONFIG_REFUSED(model_bytes, 0, EDGELLM_BAD_MODEL, "not a model file but an empty file");
  CONFIG_REFUSED(model_bytes, model_bytes - 1, EDGELLM_BAD_MODEL, "it was cut");
  CONFIG_REFUSED(sessions, 257, EDGELLM_USAGE, "config.sessions is 257, expected 0 to 256");
  CONFIG_REFUSED(sessions, -1, EDGELLM_USAGE, "config.sessions is -1");
  CONFIG_REFUSED(context, (1 << 24) + 1, EDGELLM_USAGE, "config.context");
  CONFIG_REFUSED(window, -7, EDGELLM_USAGE, "config.window");
  CONFIG_REFUSED(chunk, 4097, EDGELLM_USAGE, "config.chunk");
  CONFIG_REFUSED(threads, 65, EDGELLM_USAGE, "config.threads");
  CONFIG_REFUSED(kv, 2, EDGELLM_USAGE, "config.kv");
  CONFIG_REFUSED(f32_activations, 2, EDGELLM_USAGE, "config.f32_activations");
  CONFIG_REFUSED(check, -1, EDGELLM_USAGE, "config.check");
  CONFIG_REFUSED(text_bytes, ((size_t)1 << 28) + 1, EDGELLM_USAGE, "config.text_bytes");
  CONFIG_REFUSED(kernels, "sse9", EDGELLM_USAGE, "no kernel set \"sse9\"");

  host = open_host(config);
  block = block_of(&host);
  CHECK_REFUSED(edgellm_init(NULL, block, host.facts.block_bytes, &engine, &error), EDGELLM_USAGE, "config is NULL");
  CHECK_REFUSED(edgellm_init(&config, NULL, host.facts.block_bytes, &engine, &error), EDGELLM_USAGE, "block is NULL");
  CHECK_REFUSED(edgellm_init(&config, block, host.facts.block_bytes, NULL, &error), EDGELLM_USAGE, "engine is NULL");
  CHECK_REFUSED(edgellm_init(&config, block, host.facts.block_bytes - 1, &engine, &error), EDGELLM_USAGE,
                "block has room for");
  CHECK(engine == NULL);
  edgellm_close(NULL);
  edgellm_unmap(NULL, 5);

  engine = host.engine;
  begin(engine, 0, PROMPT);
  memset(inputs, 0, sizeof inputs);
  inputs[0].ids = inputs[1].ids = ids;
  inputs[0].count = inputs[1].count = 1;
  CHECK_REFUSED(edgellm_step(NULL, inputs, 1, &error), EDGELLM_USAGE, "engine is NULL");
  CHECK_REFUSED(edgellm_step(engine, NULL, 1, &error), EDGELLM_USAGE, "inputs is NULL");
  CHECK_REFUSED(edgellm_step(engine, inputs, 0, &error), EDGELLM_USAGE, "count is 0, expected 1 to 2");
  CHECK_REFUSED(edgellm_step(engine, inputs, 3, &error), EDGELLM_USAGE, "count is 3");
  CHECK_REFUSED(edgellm_step(engine, inputs, 2, &error), EDGELLM_USAGE, "session 0 is there twice");
  inputs[1].session = 2;
  CHECK_REFUSED(edgellm_step(engine, inputs, 2, &error), EDGELLM_USAGE, "session is 2, expected 0 to 1");
  inputs[0].count = 0;
  CHECK_REFUSED(edgellm_step(engine, inputs, 1, &error), EDGELLM_USAGE, "inputs[].count is 0");
  inputs[0].count = -5;
  CHECK_REFUSED(edgellm_step(engine, inputs, 1, &error), EDGELLM_USAGE, "inputs[].count is -5");
  inputs[0].count = 1;
  inputs[0].ids = NULL;
  CHECK_REFUSED(edgellm_step(engine, inputs, 1, &error), EDGELLM_USAGE, "inputs[].ids is NULL");
  inputs[0].ids = ids;
  ids[0] = host.facts.vocabulary;
  CHECK_REFUSED(edgellm_step(engine, inputs, 1, &error), EDGELLM_FAILED, "not in the vocabulary");
  ids[0] = -1;
  CHECK_REFUSED(edgellm_step(engine, inputs, 1, &error), EDGELLM_FAILED, "token id -1");
  ids[0] = 0;
  inputs[0].count = 300;
  CHECK_REFUSED(edgellm_step(engine, inputs, 1, &error), EDGELLM_FAILED, "the context is full");

  CHECK_REFUSED(edgellm_sample(NULL, 0, NULL, &id, &error), EDGELLM_USAGE, "engine is NULL");
  CHECK_REFUSED(edgellm_sample(engine, -1, NULL, &id, &error), EDGELLM_USAGE, "session is -1");
  CHECK_REFUSED(edgellm_sample(engine, 0, NULL, NULL, &error), EDGELLM_USAGE, "id is NULL");
  how.temperature = -1;
  CHECK_REFUSED(edgellm_sample(engine, 0, &how, &id, &error), EDGELLM_USAGE, "sampling.temperature");
  how.temperature = 1;
  how.top_p = (float)strtod("nan", NULL);
  CHECK_REFUSED(edgellm_sample(engine, 0, &how, &id, &error), EDGELLM_USAGE, "sampling.top_p is nan");
  how.top_p = 0;
  how.min_p = 1.5f;
  CHECK_REFUSED(edgellm_sample(engine, 0, &how, &id, &error), EDGELLM_USAGE, "sampling.min_p");
  how.min_p = 0;
  how.top_k = -1;
  CHECK_REFUSED(edgellm_sample(engine, 0, &how, &id, &error), EDGELLM_USAGE, "sampling.top_k");
  how.top_k = 0;
  how.repeat_penalty = 0.001f;
  CHECK_REFUSED(edgellm_sample(engine, 0, &how, &id, &error), EDGELLM_USAGE, "sampling.repeat_penalty");

  CHECK(edgellm_position(engine, 2) == -1 && edgellm_pending(NULL, 0) == -1 && edgellm_is_stop(NULL, 0) == 0);
  CHECK(edgellm_logits(engine, 2) == NULL && edgellm_logits_hash(NULL, 0) == 0);
  CHECK_REFUSED(edgellm_reset(engine, 9, &error), EDGELLM_USAGE, "session is 9");
  CHECK_REFUSED(edgellm_save(engine, 0, NULL, 5, &error), EDGELLM_USAGE, "image is NULL");
  CHECK_REFUSED(edgellm_restore(engine, 0, NULL, 5, &error), EDGELLM_USAGE, "image is NULL");
  memset(text, 'a', sizeof text);
  CHECK_REFUSED(edgellm_tokenize(engine, text, 1001, 0, ids, 300, &count, &error), EDGELLM_USAGE, "text_bytes is 1001");
  CHECK_REFUSED(edgellm_tokenize(engine, NULL, 4, 0, ids, 300, &count, &error), EDGELLM_USAGE, "text is NULL");
  CHECK_REFUSED(edgellm_tokenize(engine, text, 4, 4, ids, 300, &count, &error), EDGELLM_USAGE, "options is 4");
  CHECK_REFUSED(edgellm_tokenize(engine, text, 4, 0, ids, -1, &count, &error), EDGELLM_USAGE, "room is -1");
  CHECK_REFUSED(edgellm_tokenize(engine, text, 4, 0, NULL, 3, &count, &error), EDGELLM_USAGE, "ids is NULL");
  CHECK_REFUSED(edgellm_tokenize(engine, text, 4, 0, ids, 300, NULL, &error), EDGELLM_USAGE, "count is NULL");
  CHECK_REFUSED(edgellm_decode(engine, NULL, 1, text, 300, NULL, &error), EDGELLM_USAGE, "decoder is NULL");
  CHECK_REFUSED(edgellm_decode(engine, &decoder, -2, text, 300, NULL, &error), EDGELLM_USAGE, "id is -2");
  CHECK_REFUSED(edgellm_decode(engine, &decoder, host.facts.vocabulary, text, 300, NULL, &error), EDGELLM_USAGE, "id is");
  CHECK_REFUSED(edgellm_decode(engine, &decoder, 300, text, 0, NULL, &error), EDGELLM_USAGE, "text has room for 0");
  CHECK_REFUSED(edgellm_decode(engine, &decoder, 300, NULL, 9, NULL, &error), EDGELLM_USAGE, "text is NULL");

  // All of that changed nothing.
  CHECK(go_on(engine, 0, TOKENS - 1) == story_hash);
  close_host(&host);

  config.text_bytes = 0;
  host = open_host(config);
  CHECK_REFUSED(edgellm_tokenize(host.engine, "a", 1, 0, ids, 300, &count, &error), EDGELLM_USAGE, "config.text_bytes is 0");
  close_host(&host);
}

// A damaged model is refused or, where only weights are hit, found by its checksum. Numbers of a configuration, however odd,
// give a plan or a sentence.
static void test_hostile_input(void) {
  size_t i;
  uint64_t random = 1;
  uint32_t header[16];
  edgellm_facts facts;
  unsigned char* area = malloc(model_bytes + 64);
  unsigned char* copy = area + (64 - (uintptr_t)area % 64);
  edgellm_config config = plain();
  memcpy(copy, model, model_bytes);
  memcpy(header, copy, sizeof header);
  config.model = copy;
  heap_closed = 1;
  for (i = 0; i < model_bytes; i += i < 256 ? 1 : 9973) {
    config.model_bytes = i;
    CHECK(edgellm_plan(&config, &facts, &error) == EDGELLM_BAD_MODEL);
  }
  config.model_bytes = model_bytes;
  for (i = 0; i < 2000; i++) {  // header, metadata and tensor table
    // The weights' own checksum, and the zeros between metadata and tensor table, are read by nobody here.
    if ((i >= 56 && i < 64) || (i >= header[4] + header[5] && i < header[6])) continue;
    copy[i] ^= 0x40;
    CHECK(edgellm_plan(&config, &facts, &error) == EDGELLM_BAD_MODEL);
    copy[i] ^= 0x40;
  }
  copy[3] = 0;
  CHECK_REFUSED(edgellm_plan(&config, &facts, &error), EDGELLM_BAD_MODEL, "version 1 file must be repacked");
  copy[3] = 2;
  heap_closed = 0;
  CHECK_OK(edgellm_plan(&config, &facts, &error));
  {
    void* block = malloc(facts.block_bytes);
    edgellm_engine* engine = NULL;
    config.check = 1;
    copy[model_bytes - 1000] ^= 1;
    CHECK_REFUSED(edgellm_init(&config, block, facts.block_bytes, &engine, &error), EDGELLM_BAD_MODEL,
                  "checksum of the weights");
    copy[model_bytes - 1000] ^= 1;
    CHECK_OK(edgellm_init(&config, block, facts.block_bytes, &engine, &error));
    edgellm_close(engine);
    free(block);
  }
  for (i = 0; i < 3000; i++) {
    int32_t* const members[] = {&config.sessions, &config.context, &config.window, &config.chunk, &config.threads};
    static const int32_t most[] = {256, 1 << 24, 1 << 24, 4096, 64};
    size_t m;
    for (m = 0; m < 5; m++) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      *members[m] = (random >> 33 & 3) == 0   ? most[m]
                    : (random >> 33 & 3) == 1 ? 0
                                              : (int32_t)(random >> 40) % (most[m] + 1);
    }
    config.text_bytes = (size_t)(random >> 36 & 0xfffffff);
    config.check = 0;
    if (edgellm_plan(&config, &facts, &error) == EDGELLM_OK) {
      CHECK(facts.block_bytes > facts.state_bytes);
    } else {
      CHECK(strstr(error.text, "bytes are needed") != NULL);  // on 32-bit machines
    }
  }
  free(area);
}

// Two engines at once, each on a thread with the stack that the header allows.
typedef struct Job {
  Host host;
  uint64_t hash;
} Job;

static void* work(void* argument) {
  Job* job = argument;
  int32_t i, id, ids[] = {1, 300, 301, 302};
  edgellm_error own;
  edgellm_input input = {0};
  input.ids = ids;
  input.count = 4;
  input.logits = 1;
  for (i = 0; i < TOKENS; i++) {
    if (edgellm_step(job->host.engine, &input, 1, &own)) return NULL;
    job->hash = edgellm_logits_hash(job->host.engine, 0);
    if (edgellm_sample(job->host.engine, 0, NULL, &id, &own)) return NULL;
    input.ids = &id;
    input.count = 1;
  }
  return job;
}

static void test_two_engines_at_once(void) {
  const char* mode = getenv("EDGELLM_MODE");
  size_t stack = mode && strcmp(mode, "release") == 0 ? 128 << 10 : 4 << 20;
  Job jobs[2] = {{{0}, 0}, {{0}, 0}};
  pthread_t threads[2];
  pthread_attr_t attributes;
  int i;
  CHECK(pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, stack) == 0);
  for (i = 0; i < 2; i++) {
    edgellm_config config = plain();
    config.kv = i ? EDGELLM_KV_I8 : EDGELLM_KV_F16;
    jobs[i].host = open_host(config);
  }
  heap_closed = 0;
  for (i = 0; i < 2; i++)
    CHECK(pthread_create(&threads[i], &attributes, work, &jobs[i]) == 0);
  for (i = 0; i < 2; i++) {
    void* done = NULL;
    CHECK(pthread_join(threads[i], &done) == 0 && done == &jobs[i]);
  }
  CHECK(jobs[0].hash != jobs[1].hash);
  for (i = 0; i < 2; i++) {
    uint64_t at_once = jobs[i].hash;
    CHECK_OK(edgellm_reset(jobs[i].host.engine, 0, &error));
    CHECK(work(&jobs[i]) && jobs[i].hash == at_once);
    close_host(&jobs[i].host);
  }
}

int main(void) {
  CHECK_OK(edgellm_map(MODEL, &model, &model_bytes, &error));
  if (!model) return 1;
  ask_program();
  test_facts();
  test_the_programs_text(plain(), NULL, story);
  test_from_memory();
  test_drawn_ids();
  test_same_bits();
  test_two_sessions();
  test_save_and_restore();
  test_float_environment();
  test_own_logits();
  test_text();
  test_refused_calls();
  test_hostile_input();
  test_two_engines_at_once();
  edgellm_unmap(model, model_bytes);
#if defined(OWN_HEAP)
  CHECK(heap_used > 0);  // it is the heap that this program uses
#endif
  printf("%d checks, %d failed\n", checks, failures);
  return failures ? 1 : 0;
}
