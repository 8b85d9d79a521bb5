// OpenAI's routes: a text, and what is told of its tokens, is the same however it is asked for; nothing stays without an answer.
#include <algorithm>
#include <cmath>

#include "engine/log_probabilities.h"
#include "openai_answers.h"
#include "text/unicode.h"

// A stream says what a whole answer says: text, reason, tokens with their log probabilities; with stop strings, several texts, and
// at a high temperature half characters and tokens that print nothing.
TEST(streams) {
  Serving serving({{"stories", STORIES}});
  use_template(serving, "plain");
  const char* const shapes[] = {
      R"("max_tokens":40)",
      R"("max_tokens":40,"temperature":3,"top_p":1,"stop":[" the","ll","a "])",
      R"("max_tokens":24,"n":3,"temperature":1.5,"stop":"\n")",
      R"("max_tokens":40,"temperature":100,"top_p":1)",
      R"("max_tokens":24,"repeat_penalty":1.3,"top_k":50,"min_p":0.01)",
  };
  i64 cut = 0, strange = 0;
  for (int seed = 0; seed < 60; seed++) {
    const bool chat = seed % 2, tokens = seed % 3 > 0;
    const std::string kind = shapes[seed % 5];
    const int choices = kind.find("\"n\":3") == std::string::npos ? 1 : 3;
    std::string body = chat ? R"({"messages":[{"role":"user","content":"Who is there?"}],)" : R"({"prompt":"One day",)";
    body += kind + ",\"seed\":" + std::to_string(seed);
    if (tokens) body += chat ? R"(,"logprobs":true,"top_logprobs":3)" : R"(,"logprobs":3)";
    if (seed % 4 == 0 && !chat) body += R"(,"echo":true)";
    const char* route = chat ? CHAT : COMPLETIONS;
    const std::vector<Gathered> whole = gathered(serving.ask(route, body + "}"), chat, choices);
    const std::vector<Gathered> parts = gathered(serving.ask(route, body + ",\"stream\":true}"), chat, choices);
    for (size_t i = 0; i < whole.size(); i++) {
      CHECK_EQ(parts[i].text, whole[i].text);
      CHECK_EQ(parts[i].finish, whole[i].finish);
      CHECK(parts[i].values == whole[i].values && parts[i].bytes == whole[i].bytes);
      if (tokens) CHECK_EQ(whole[i].tokens, whole[i].text);
      if (tokens) CHECK_EQ(parts[i].tokens, whole[i].text);
      CHECK(tokens || whole[i].values.empty());
      cut += whole[i].finish == "stop";
      strange += whole[i].text.find("\xef\xbf\xbd") != std::string::npos;
      if (choices > 1) {  // each is that of its seed alone
        std::string alone = body;
        alone.replace(alone.find("\"n\":3"), 5, "\"n\":1");
        const std::string of = "\"seed\":" + std::to_string(seed);
        alone.replace(alone.find(of), of.size(), "\"seed\":" + std::to_string(seed + static_cast<int>(i)));
        CHECK_EQ(gathered(serving.ask(route, alone + "}"), chat, 1)[0].text, whole[i].text);
      }
    }
  }
  CHECK(cut > 5 && strange > 5);
}

// What is told of tokens that are no whole characters, print nothing, or stand around a stop string: together they are the text.
TEST(tokens_are_the_text) {
  struct Case {
    std::vector<i32> ids;
    const char* more;
    std::string text, tokens, bytes;  // tokens and bytes with a bar behind each
  };
  const Case cases[] = {
      {{'a', 0xe2, 0x82, 0xac, 'b'},
       "",
       "a\xe2\x82\xac"
       "b",
       "a|||\xe2\x82\xac|b|",
       "97,|226,|130,|172,|98,|"},
      {{'a', 0xe2, 0x82, 'b'},
       "",
       "a\xef\xbf\xbd"
       "b",
       "a|||\xef\xbf\xbd"
       "b|",
       "97,|226,|130,|98,|"},
      {{'a', 258, 'b', 258}, "", "ab", "a||b||", "97,|null|98,|null|"},
      {{'a', 'b', 'c', 'd', 'e'}, R"(,"stop":"cd")", "ab", "a|b|", "97,|98,|"},
      {{'a', 258, 'c', 'd', 'e'}, R"(,"stop":"cd")", "a", "a|", "97,|"},
      {{'a', 0xe2, 0x82, 0xac, 'e'}, R"(,"stop":"\u20ac")", "a", "a|", "97,|"},
      {{'a', 'b', 258, 'c'}, R"(,"stop":"<|x|>")", "ab", "a|b|", "97,|98,|"},
      {{'a', 'c', 'c', 'd'}, R"(,"stop":["ccd","x"])", "a", "a|", "97,|"},
      {{'a', 'c', 'c', 'x'}, R"(,"stop":["cd","ccc"])", "accx", "a|c|c|x|", "97,|99,|99,|120,|"},
      {{'a', 0xe2}, "", "a\xef\xbf\xbd", "a|\xef\xbf\xbd|", "97,|226,|"},
  };
  for (const Case& one : cases) {
    Script script(one.ids);
    script.then(Script::STOP);
    script.specials = {"<|im_start|>", "<|im_end|>", "<|x|>"};
    Serving serving({{"script", write_script(script)}});
    use_template(serving, "chatml");
    for (const char* stream : {"", R"(,"stream":true)"}) {
      const Answer answer = serving.ask(CHAT, std::string(R"({"messages":[{"role":"user","content":"x"}],"logprobs":true,)"
                                                          R"("top_logprobs":1)") +
                                                  one.more + stream + "}");
      CHECK_EQ(gathered(answer, true, 1)[0].text, one.text);
      std::string tokens, bytes;
      std::vector<std::string> bodies = *stream ? events_of(answer) : std::vector<std::string>{answer.body};
      for (const std::string& body : bodies) {
        if (body == "[DONE]") continue;
        const Json content = Json(body)["choices"][0]["logprobs"]["content"];
        for (int i = 0; i < content.size(); i++) {
          tokens += content[i]["token"].text() + "|";
          if (!content[i]["bytes"].there()) bytes += "null";
          for (int b = 0; b < content[i]["bytes"].size(); b++)
            bytes += content[i]["bytes"][b].text() + ",";
          bytes += "|";
        }
      }
      CHECK_EQ(tokens, one.tokens);
      CHECK_EQ(bytes, one.bytes);
    }
  }
}

// Log probabilities are those of the engine after the same ids, whatever temperature and penalty did; the prompt's too.
TEST(log_probabilities) {
  const std::string file = STORIES;
  Serving serving({{"stories", file}});
  const Answer answer = serving.ask(
      COMPLETIONS,
      R"({"prompt":[1,400,300,200,100,50,7,8,9],"max_tokens":12,"echo":true,"logprobs":5,"temperature":2,"repeat_penalty":1.5,"seed":3})");
  CHECK_EQ(answer.status, 200);
  const Json told = Json(answer.body)["choices"][0]["logprobs"];
  CHECK_EQ(told["tokens"].size(), 21);
  EngineOptions options;
  options.threads = 1;
  OpenEngine open(options, file);
  Engine& engine = open.engine;
  std::vector<u8> block(static_cast<size_t>(engine.model.vocab) * sizeof(f32) + 128);
  Arena arena(block.data() + 64 - reinterpret_cast<uintptr_t>(block.data()) % 64, static_cast<i64>(block.size()) - 64);
  LogProbabilities row;
  row.place(arena, engine.model.vocab);
  std::vector<i32> ids = {1, 400, 300, 200, 100, 50, 7, 8, 9};
  CHECK(!told["token_logprobs"][0].there() && !told["top_logprobs"][0].there());
  for (int i = 0; i < 20; i++) {
    open.run(0, {ids[static_cast<size_t>(i)]});
    row.read(engine.kernels, logits_row(engine, 0), 5);
    const std::string token = told["tokens"][i + 1].text();
    i32 next = i + 1 < static_cast<int>(ids.size()) ? ids[static_cast<size_t>(i) + 1] : -1;
    for (i32 id = 0; next < 0 && id < engine.tokenizer.vocab(); id++) {
      const Text piece = engine.tokenizer.piece(id);
      if (std::string(piece.data, static_cast<size_t>(piece.size)) == token && !engine.tokenizer.special(id)) next = id;
    }
    CHECK(next >= 0);
    if (next < 0) return;
    if (static_cast<int>(ids.size()) == i + 1) ids.push_back(next);
    CHECK(std::abs(told["token_logprobs"][i + 1].number() - static_cast<double>(row.of(next))) < 1e-6);
    const Json top = told["top_logprobs"][i + 1];
    CHECK(top.size() == 5 || top.size() == 6);
    for (const LogProbability& one : row.top()) {
      const Text piece = engine.tokenizer.piece(one.id);
      const std::string name(piece.data, static_cast<size_t>(piece.size));
      if (utf8_length(piece.data, piece.size) == piece.size)
        CHECK(std::abs(top[name.c_str()].number() - static_cast<double>(one.value)) < 1e-6);
    }
  }
}

// A conversation that is sent again with one turn more does not run again what the session holds.
TEST(turns) {
  Serving serving({{"script", write_script(chatty("Hi!"))}});
  use_template(serving, "chatml");
  std::string messages = R"({"role":"system","content":"s"},{"role":"user","content":"x"})";
  int held = 0;
  for (int turn = 0; turn < 4; turn++) {
    const Json answer(serving.ask(CHAT, "{\"messages\":[" + messages + "]}").body);
    const int prompt = std::stoi(answer["usage"]["prompt_tokens"].text());
    CHECK_EQ(answer["usage"]["prompt_tokens_details"]["cached_tokens"].text(), std::to_string(held));
    CHECK_EQ(answer["choices"][0]["message"]["content"].text(), "Hi!");
    held = prompt + 3;  // what ended the answer was not run
    messages += R"(,{"role":"assistant","content":"Hi!"},{"role":"user","content":"y"})";
  }
  CHECK(held > 40);
}

// What a slot has run before changes nothing: the same tokens with the same log probabilities.
TEST(cached_and_not) {
  Serving warm({{"stories", STORIES}});
  i64 cached = 0;
  for (int seed = 0; seed < 12; seed++) {
    const std::string body = R"({"prompt":"Once upon a time there was a )" + std::string(seed % 3 ? "dog" : "cat who") +
                             R"(","max_tokens":12,"logprobs":2,"temperature":1.5,"seed":)" + std::to_string(seed) + "}";
    Serving cold({{"stories", STORIES}});
    const Answer one = cold.ask(COMPLETIONS, body), other = warm.ask(COMPLETIONS, body);
    const Gathered apart = gathered(one, false, 1)[0], gone_on = gathered(other, false, 1)[0];
    CHECK(apart.text == gone_on.text && apart.values == gone_on.values);
    CHECK_EQ(Json(one.body)["usage"]["prompt_tokens_details"]["cached_tokens"].text(), "0");
    cached += std::stoi(Json(other.body)["usage"]["prompt_tokens_details"]["cached_tokens"].text());
  }
  CHECK(cached > 60);
}

// Where no more texts can wait, the answer says when to try again; a text whose client went away leaves its place within a token.
TEST(full_and_gone) {
  Serving serving({{"stories", STORIES}});
  const std::string endless = R"({"prompt":"One day","max_tokens":500,"n":4,"stream":true})";
  const int client = serving.connect(Serving::request(COMPLETIONS, endless));
  serving.rounds(3);
  const Scheduler& scheduler = serving.server.models[0].scheduler;
  CHECK(scheduler.busy() == 2 && scheduler.waiting() == 2);
  const Answer full = serving.ask(COMPLETIONS, R"({"prompt":"x"})");
  CHECK_EQ(full.status, 429);
  CHECK_EQ(full.field("Retry-After"), "1");
  CHECK_EQ(full.body, error("the queue is full: try again", "", "\"rate_limit_exceeded\"", "requests"));
  ::close(client);
  serving.rounds(1);
  CHECK(scheduler.busy() == 0 && scheduler.waiting() == 0);

  // One that takes nothing: its connection ends when the room for the answer is full, and the text with it.
  ServeOptions options = Serving::small();
  options.connections.answer = 16384;
  Serving small({{"stories", STORIES}}, options);
  const int silent =
      small.connect(Serving::request(COMPLETIONS, R"({"prompt":"One day","max_tokens":500,"n":2,"stream":true})"));
  const int buffer = 4096;
  setsockopt(silent, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
  small.rounds(2);
  CHECK_EQ(small.server.models[0].scheduler.busy(), 2);
  int rounds = 0;
  while (small.server.models[0].scheduler.busy() > 0 && rounds++ < 2000)
    small.rounds(1);
  CHECK(rounds < 480 && small.server.connections.open() == 0);  // before the texts had ended
  ::close(silent);
}

// A stream whose prompt takes long gets comments.
TEST(comments) {
  ServeOptions options = Serving::small();
  options.comment = 0;
  Serving serving({{"stories", STORIES}}, options);
  std::string prompt;
  for (int i = 0; i < 150; i++)
    prompt += " word";
  const Answer answer =
      serving.ask(CHAT, R"({"messages":[{"role":"user","content":")" + prompt + R"("}],"max_tokens":2,"stream":true})");
  const std::string body = unchunked(answer.body);
  const size_t role = body.find("\"role\""), comment = body.find(":\n\n", role),
               text = body.find("\"content\":\"", role + 40);
  CHECK(role != std::string::npos && comment != std::string::npos && comment < text);
  CHECK_EQ(gathered(answer, true, 1)[0].finish, "length");
}

// Whatever is asked for, what an answer has no room for ends it, or is refused: none stays without an answer.
TEST(room) {
  ServeOptions options = Serving::small();
  options.connections.answer = 16384;
  options.queue = 14;
  options.connections.exchanges = 20;
  Serving serving({{"stories", STORIES}}, options);
  use_template(serving, "plain");
  const std::string long_prompt = "[" + [] {
    std::string ids = "1";
    for (int i = 0; i < 400; i++)
      ids += "," + std::to_string(300 + i % 100);
    return ids;
  }() + "]";
  struct Case {
    const char* route;
    std::string body;
    const char* finish;  // of the first; empty: it is refused
  };
  const std::string ask = R"("messages":[{"role":"user","content":"x"}],"seed":1,"temperature":100,"top_p":1)";
  const Case cases[] = {
      {CHAT, "{" + ask + R"(,"n":16,"max_tokens":400})", "length"},
      {CHAT, "{" + ask + R"(,"n":3,"max_tokens":400})", "length"},
      {CHAT, "{" + ask + R"(,"logprobs":true,"max_tokens":400})", "length"},
      {CHAT, "{" + ask + R"(,"logprobs":true,"top_logprobs":20,"max_tokens":400})", "length"},
      {CHAT, "{" + ask + R"(,"logprobs":true,"top_logprobs":20,"max_tokens":400,"n":16})", "length"},
      {COMPLETIONS, R"({"prompt":"x","logprobs":5,"temperature":100,"top_p":1,"max_tokens":400,"n":7})", "length"},
      {COMPLETIONS, R"({"prompt":)" + long_prompt + R"(,"echo":true,"max_tokens":0})", "length"},
      {COMPLETIONS, R"({"prompt":)" + long_prompt + R"(,"echo":true,"max_tokens":0,"n":16})", ""},
      {COMPLETIONS, R"({"prompt":)" + long_prompt + R"(,"echo":true,"logprobs":5,"max_tokens":1})", ""},
      {COMPLETIONS, R"({"prompt":)" + long_prompt + R"(,"echo":true,"logprobs":1,"max_tokens":1})", ""},
  };
  for (const Case& one : cases) {
    const Answer answer = serving.ask(one.route, one.body);
    CHECK_EQ(answer.status, *one.finish ? 200 : 400);
    const Json json(answer.body);
    CHECK_EQ(json["choices"][0]["finish_reason"].text(), one.finish);
    CHECK(json["error"]["param"].there() == !*one.finish);
    const Gathered made = [&] {
      Gathered first;
      if (*one.finish) first.add(json["choices"][0], one.route == CHAT);
      return first;
    }();
    if (!made.tokens.empty()) CHECK_EQ(made.tokens, made.text);
  }
}

// A deadline ends a text with what there is: a millisecond is not enough for this one.
TEST(deadline) {
  Serving serving({{"stories", STORIES}});
  const Answer answer = serving.ask(COMPLETIONS, R"({"prompt":"One day","max_tokens":450,"timeout_ms":1,"seed":1})");
  CHECK_EQ(gathered(answer, false, 1)[0].finish, "length");
  CHECK(std::stoi(Json(answer.body)["usage"]["completion_tokens"].text()) < 400);
}

namespace {

// Every byte is an id: at this temperature most texts have halves of characters, also at their ends.
const char* const BYTES = R"("prompt":"The big dog ","temperature":100,"top_p":1)";

std::string write_byte_model() {
  ModelRecipe recipe;
  recipe.vocab = 256;
  recipe.tokenizer = script_tokenizer(Script(""));
  const std::string path = temporary_path("bytes.tm2");
  write_model(recipe, path);
  return path;
}

i64 events_with_text(const Answer& answer) {
  i64 count = 0;
  for (const std::string& event : events_of(answer)) {
    if (event == "[DONE]") continue;
    const Json choice = Json(event)["choices"][0];
    count += !choice["text"].text().empty() || !choice["delta"]["content"].text().empty();
  }
  return count;
}

}  // namespace

// A text that ends inside a character loses nothing in a stream.
TEST(streams_of_bytes) {
  Serving serving({{"bytes", write_byte_model()}});
  i64 broken = 0;
  for (int seed = 0; seed < 400; seed++) {
    std::string body =
        std::string("{") + BYTES + ",\"seed\":" + std::to_string(seed) + ",\"max_tokens\":" + std::to_string(1 + seed % 4);
    if (seed / 4 % 3) body += R"(,"logprobs":)" + std::to_string(seed / 4 % 3 - 1);
    if (seed / 12 % 2) body += R"(,"stop":["\ufffd\ufffda","a","\u0100b","bc"])";
    const Gathered whole = gathered(serving.ask(COMPLETIONS, body + "}"), false, 1)[0];
    const Gathered parts = gathered(serving.ask(COMPLETIONS, body + ",\"stream\":true}"), false, 1)[0];
    CHECK_EQ(parts.text, whole.text);
    CHECK_EQ(parts.tokens, whole.tokens);
    CHECK(parts.values == whole.values && parts.finish == whole.finish);
    broken += whole.text.size() >= 3 && whole.text.substr(whole.text.size() - 3) == "\xef\xbf\xbd";
  }
  CHECK(broken > 50);
}

// Stop strings that are never near change nothing about the events: one for each token that adds text.
TEST(events_with_stop_strings) {
  Serving serving({{"stories", STORIES}});
  const std::string body = R"({"prompt":"One day","max_tokens":60,"seed":4,"stream":true)";
  const Answer plain = serving.ask(COMPLETIONS, body + "}");
  const i64 events = events_with_text(plain);
  CHECK(events > 20 && events <= 60);
  CHECK_EQ(events_with_text(serving.ask(COMPLETIONS, body + R"(,"stop":["\u20ac","@@"]})")), events);
  use_template(serving, "plain");  // it has stop strings of its own
  const Answer chat =
      serving.ask(CHAT, R"({"messages":[{"role":"user","content":"x"}],"max_tokens":40,"seed":4,"stream":true})");
  CHECK(events_with_text(chat) <= 40 && gathered(chat, true, 1)[0].text.size() > 80);
}
