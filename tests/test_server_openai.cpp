// OpenAI's routes: bodies byte for byte, and what each field may say.
#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>

#include "openai_answers.h"
#include "spoiled_model.h"

static const std::string HEAD = ",\"created\":TIME,\"model\":\"script\",\"system_fingerprint\":\"edgellm-0.1.0\",\"seed\":";

static std::string usage(int prompt, int made, int cached) {
  return "\"usage\":{\"prompt_tokens\":" + std::to_string(prompt) + ",\"completion_tokens\":" + std::to_string(made) +
         ",\"total_tokens\":" + std::to_string(prompt + made) +
         ",\"prompt_tokens_details\":{\"cached_tokens\":" + std::to_string(cached) + "}}";
}

struct Row {
  const char* route;
  std::string body;
  int status;
  std::string answer;
};

static void ask_all(Serving& serving, const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    const Answer answer = serving.ask(row.route, row.body);
    CHECK_EQ(answer.status, row.status);
    const bool events = answer.field("Content-Type") == "text/event-stream";
    CHECK_EQ(shape(events ? unchunked(answer.body) : answer.body), row.answer);
  }
}

TEST(completions) {
  const std::string begin = "{\"id\":\"cmpl-ID\",\"object\":\"text_completion\"" + HEAD;
  const std::string text = ",\"choices\":[{\"index\":0,\"text\":\"";
  Serving serving({{"script", write_script(chatty("abcdefghijklmnopqrst"))}});
  ask_all(
      serving,
      {
          {COMPLETIONS, R"({"prompt":"x"})", 200,
           begin + "DRAWN" + text + R"(abcdefghijklmnop","logprobs":null,"finish_reason":"length"}],)" + usage(1, 16, 0) +
               "}"},
          {COMPLETIONS, R"({"prompt":"xy","model":"any","max_tokens":30,"seed":7})", 200,
           begin + "7" + text + R"(abcdefghijklmnopqrst","logprobs":null,"finish_reason":"stop"}],)" + usage(2, 21, 1) +
               "}"},
          {COMPLETIONS, R"({"prompt":"x\n\"","stop":["cd","zz"],"echo":true,"seed":18446744073709551615})", 200,
           begin + "18446744073709551615" + text + R"(x\n\"ab","logprobs":null,"finish_reason":"stop"}],)" + usage(3, 4, 1) +
               "}"},
          {COMPLETIONS, R"({"prompt":[120,121,122],"max_tokens":1,"echo":true,"seed":0})", 200,
           begin + "0" + text + R"(xyza","logprobs":null,"finish_reason":"length"}],)" + usage(3, 1, 2) + "}"},
          {COMPLETIONS, R"({"prompt":[120,121,122],"max_tokens":0,"echo":true,"seed":0})", 200,
           begin + "0" + text + R"(xyz","logprobs":null,"finish_reason":"length"}],)" + usage(3, 0, 2) + "}"},
          {COMPLETIONS, R"({"prompt":["p","qr"],"n":2,"best_of":2,"max_tokens":2,"seed":1})", 200,
           begin + "1" + text +
               R"(ab","logprobs":null,"finish_reason":"length"},{"index":1,"text":"ab","logprobs":null,"finish_reason":"length"},)"
               R"({"index":2,"text":"ab","logprobs":null,"finish_reason":"length"},{"index":3,"text":"ab","logprobs":null,)"
               R"("finish_reason":"length"}],)" +
               usage(3, 8, 0) + "}"},
          {COMPLETIONS, R"({"prompt":[[112],[113,114]],"max_tokens":1,"seed":1,"logprobs":0})", 200,
           begin + "1" + text +
               R"(a","logprobs":{"tokens":["a"],"token_logprobs":[-P],"top_logprobs":[{"a":-P}],"text_offset":[0]},)"
               R"("finish_reason":"length"},{"index":1,"text":"a","logprobs":{"tokens":["a"],"token_logprobs":[-P],)"
               R"("top_logprobs":[{"a":-P}],"text_offset":[0]},"finish_reason":"length"}],)" +
               usage(3, 2, 1) + "}"},
          {COMPLETIONS, R"({"prompt":"xy","echo":true,"logprobs":0,"max_tokens":1,"seed":1})", 200,
           begin + "1" + text +
               R"(xya","logprobs":{"tokens":["x","y","a"],"token_logprobs":[null,-P,-P],"top_logprobs":[null,{"y":-P},{"a":-P}],)"
               R"("text_offset":[0,1,2]},"finish_reason":"length"}],)" +
               usage(2, 1, 0) + "}"},
      });
}

TEST(chat_completions) {
  const std::string begin = "{\"id\":\"chatcmpl-ID\",\"object\":\"chat.completion\"" + HEAD;
  const std::string chunk = "data: {\"id\":\"chatcmpl-ID\",\"object\":\"chat.completion.chunk\"" + HEAD;
  Serving serving({{"script", write_script(chatty("Hi!"))}});
  use_template(serving, "chatml");
  const std::string ask = R"({"seed":5,"messages":[{"role":"user","content":"x"}])";
  const int prompt = 1 + 5 + 1 + 1 + 1 + 1 + 10;  // <|im_start|> user\n x <|im_end|> \n <|im_start|> assistant\n
  ask_all(
      serving,
      {
          {CHAT, ask + "}", 200,
           begin +
               R"(5,"choices":[{"index":0,"message":{"role":"assistant","content":"Hi!","refusal":null},"logprobs":null,)"
               R"("finish_reason":"stop"}],)" +
               usage(prompt, 4, 0) + "}"},
          {CHAT, ask + R"(,"logprobs":true,"max_completion_tokens":1})", 200,
           begin +
               R"(5,"choices":[{"index":0,"message":{"role":"assistant","content":"H","refusal":null},"logprobs":{"content":[)"
               R"({"token":"H","logprob":-P,"bytes":[72],"top_logprobs":[]}],"refusal":null},"finish_reason":"length"}],)" +
               usage(prompt, 1, prompt - 1) + "}"},
          {CHAT, ask + R"(,"stream":true,"stop":"!"})", 200,
           chunk +
               R"(5,"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]})" +
               "\n\n" + chunk +
               R"(5,"choices":[{"index":0,"delta":{"content":"H"},"logprobs":null,"finish_reason":null}]})" + "\n\n" +
               chunk + R"(5,"choices":[{"index":0,"delta":{"content":"i"},"logprobs":null,"finish_reason":null}]})" +
               "\n\n" + chunk + R"(5,"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]})" +
               "\n\ndata: [DONE]\n\n"},
          {CHAT, ask + R"(,"stream":true,"stream_options":{"include_usage":true},"max_tokens":1})", 200,
           chunk +
               R"(5,"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],)" +
               "\"usage\":null}\n\n" + chunk +
               R"(5,"choices":[{"index":0,"delta":{"content":"H"},"logprobs":null,"finish_reason":null}],"usage":null})" +
               "\n\n" + chunk +
               R"(5,"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}],"usage":null})" + "\n\n" +
               chunk + "5,\"choices\":[]," + usage(prompt, 1, prompt - 1) + "}\n\ndata: [DONE]\n\n"},
          {COMPLETIONS, R"({"prompt":"x","seed":5,"stream":true,"max_tokens":1,"echo":true})", 200,
           "data: {\"id\":\"cmpl-ID\",\"object\":\"text_completion\"" + HEAD +
               R"(5,"choices":[{"index":0,"text":"x","logprobs":null,"finish_reason":null}]})" +
               "\n\ndata: {\"id\":\"cmpl-ID\",\"object\":\"text_completion\"" + HEAD +
               R"(5,"choices":[{"index":0,"text":"H","logprobs":null,"finish_reason":null}]})" +
               "\n\ndata: {\"id\":\"cmpl-ID\",\"object\":\"text_completion\"" + HEAD +
               R"(5,"choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"length"}]})" + "\n\ndata: [DONE]\n\n"},
      });
}

TEST(models) {
  const std::string file = write_script(chatty("Hi!"));
  auto model = [](const std::string& name) {
    return "{\"id\":\"" + name + "\",\"object\":\"model\",\"created\":TIME,\"owned_by\":\"edgellm\",\"context_length\":400}";
  };
  const std::string none =
      error("model: there is none of this name; /v1/models has those that there are", "model", "\"model_not_found\"");
  Serving serving({{"a", file}, {"b/c d", file}});
  ask_all(serving,
          {
              {"GET /v1/models", "", 200, "{\"object\":\"list\",\"data\":[" + model("a") + "," + model("b/c d") + "]}"},
              {"GET /v1/models/a", "", 200, model("a")},
              {"GET /v1/models/b/c%20d", "", 200, model("b/c d")},
              {"GET /v1/models/b%2fc%20d", "", 200, model("b/c d")},
              {"GET /v1/models/b%2", "", 404, none},
              {"GET /v1/models/ab", "", 404, none},
              {"GET /v1/models/", "", 404, none},
              {COMPLETIONS, R"({"prompt":"x","model":"c"})", 404,
               error("model: expected one of a, b/c d, got \\\"c\\\"", "model", "\"model_not_found\"")},
              {"DELETE /v1/models/a", "", 405, error("this path is there for GET, HEAD and no other method", "")},
          });
  CHECK_EQ(Json(serving.ask(COMPLETIONS, R"({"prompt":"x","model":"b/c d"})").body)["model"].text(), "b/c d");
}

// Each field at its limits and beyond; what is not done is refused by name.
TEST(fields) {
  const std::string of_completions =
      "model, prompt, max_tokens, temperature, top_p, top_k, min_p, repeat_penalty, seed, stop, n, best_of, logprobs, echo, "
      "stream, stream_options, timeout_ms, priority, user, metadata, store, service_tier, safety_identifier, "
      "prompt_cache_key, "
      "prompt_cache_retention, frequency_penalty, presence_penalty, logit_bias, suffix";
  const std::string of_chat =
      "model, messages, max_tokens, max_completion_tokens, temperature, top_p, top_k, min_p, repeat_penalty, seed, stop, n, "
      "logprobs, top_logprobs, stream, stream_options, timeout_ms, priority, user, metadata, store, service_tier, "
      "safety_identifier, prompt_cache_key, prompt_cache_retention, prediction, parallel_tool_calls, frequency_penalty, "
      "presence_penalty, logit_bias, tools, tool_choice, functions, function_call, response_format, modalities, audio, "
      "reasoning_effort, verbosity, web_search_options";
  struct Field {
    const char *route, *field, *why, *param;
  };
  const std::string more = " or no such field: more is not done here";
  const std::string penalty = ": expected 0" + more + "; repeat_penalty is there against repetition";
  const std::string tools = more + "; this server calls no tools";
  struct Wrong {
    const char *route, *member;
    std::string why;
  };
  Serving serving({{"script", write_script(chatty("Hi!"))}});
  use_template(serving, "chatml");
  const Wrong wrong[] = {
      {COMPLETIONS, R"("frequency_penalty":0.5)", "frequency_penalty" + penalty},
      {CHAT, R"("presence_penalty":-1)", "presence_penalty" + penalty},
      {CHAT, R"("logit_bias":{"5":1})", "logit_bias: expected nothing" + more},
      {COMPLETIONS, R"("suffix":"end")", "suffix: expected nothing" + more},
      {CHAT, R"("tools":[{"type":"function"}])", "tools: expected nothing" + tools},
      {CHAT, R"("tool_choice":"auto")", "tool_choice: expected \\\"none\\\"" + tools},
      {CHAT, R"("functions":[{}])", "functions: expected nothing" + tools},
      {CHAT, R"("function_call":"auto")", "function_call: expected \\\"none\\\"" + tools},
      {CHAT, R"("response_format":{"type":"json_object"})", "response_format: expected {\\\"type\\\":\\\"text\\\"}" + more},
      {CHAT, R"("modalities":["text","audio"])", "modalities: expected [\\\"text\\\"]" + more},
      {CHAT, R"("audio":{"voice":"x"})", "audio: expected nothing" + more},
      {CHAT, R"("reasoning_effort":"low")", "reasoning_effort: expected \\\"none\\\"" + more},
      {CHAT, R"("verbosity":"low")", "verbosity: expected nothing" + more},
      {CHAT, R"("web_search_options":{"a":1})", "web_search_options: expected nothing" + more},
      {COMPLETIONS, R"("cache_prompt":true)", "cache_prompt: not a field of this route; there are " + of_completions},
      {CHAT, R"("prompt":"x")", "prompt: not a field of this route; there are " + of_chat},
      {COMPLETIONS, R"("top_k":-1)", "top_k: expected an integer from 0 to 16777216, got -1"},
      {COMPLETIONS, R"("min_p":1.5)", "min_p: expected a number from 0 to 1, got 1.5"},
      {COMPLETIONS, R"("repeat_penalty":0)", "repeat_penalty: expected a number from 0.01 to 100, got 0"},
      {COMPLETIONS, R"("temperature":"hot")", "temperature: expected a number from 0 to 100, got \\\"hot\\\""},
      {COMPLETIONS, R"("n":17)", "n: expected an integer from 1 to 16, got 17"},
      {COMPLETIONS, R"("n":0)", "n: expected an integer from 1 to 16, got 0"},
      {COMPLETIONS, R"("n":5)", "n: expected at most 4 texts in one answer, as --slots and --queue allow, got 5"},
      {COMPLETIONS, R"("seed":-1)",
       "seed: expected an integer from 0 to 18446744073709551615, got -1; leave it out for one that is drawn"},
      {COMPLETIONS, R"("max_tokens":-1)",
       "max_tokens: expected an integer from 0 to 2147483647, got -1; a large number is cut to what there is room for"},
      {CHAT, R"("max_completion_tokens":-1)",
       "max_completion_tokens: expected an integer from 1 to 2147483647, got -1; a large number is cut to what there is "
       "room for"},
      {COMPLETIONS, R"("best_of":2)", "best_of: expected n, which is 1, or no such field, got 2"},
      {COMPLETIONS, R"("logprobs":6)", "logprobs: expected an integer from 0 to 5, got 6"},
      {COMPLETIONS, R"("logprobs":true)", "logprobs: expected an integer from 0 to 5, got true"},
      {CHAT, R"("logprobs":2)", "logprobs: expected true or false, got 2"},
      {CHAT, R"("top_logprobs":2)", "top_logprobs: expected logprobs to be true beside it"},
      {CHAT, R"("logprobs":true,"top_logprobs":21)", "top_logprobs: expected an integer from 0 to 20, got 21"},
      {CHAT, R"("max_tokens":0)", "max_tokens: expected an integer from 1 to 2147483647, got 0"},
      {CHAT, R"("max_tokens":3,"max_completion_tokens":4)",
       "max_tokens: max_completion_tokens is 4, so expected the same or no such field, got 3"},
      {COMPLETIONS, R"("echo":1)", "echo: expected true or false, got 1"},
      {COMPLETIONS, R"("stream":"yes")", "stream: expected true or false, got \\\"yes\\\""},
      {COMPLETIONS, R"("stream_options":{"include_usage":true})", "stream_options: expected stream to be true beside it"},
      {COMPLETIONS, R"("stream":true,"stream_options":{"usage":true})",
       "stream_options.usage: not a field; there are include_usage, include_obfuscation"},
      {COMPLETIONS, R"("stream":true,"stream_options":{"include_usage":1})",
       "stream_options.include_usage: expected true or false, got 1"},
      {COMPLETIONS, R"("stream":true,"stream_options":{"include_obfuscation":true})",
       "stream_options.include_obfuscation: expected false, got true"},
      {COMPLETIONS, R"("priority":101)", "priority: expected an integer from -100 to 100, got 101"},
      {COMPLETIONS, R"("timeout_ms":0)", "timeout_ms: expected an integer from 1 to 86400000, got 0"},
  };
  auto body = [](const char* route, const std::string& member) {
    const std::string rest = std::strcmp(route, CHAT) ? R"("prompt":"x")" : R"("messages":[{"role":"user","content":"x"}])";
    // A second prompt beside that of the row would be no JSON.
    return "{" + rest + (member.empty() ? "" : ",") + member + "}";
  };
  for (const Wrong& row : wrong) {
    const Answer answer = serving.ask(row.route, body(row.route, row.member));
    CHECK_EQ(answer.status, 400);
    CHECK_EQ(answer.body, error(row.why, row.why.substr(0, row.why.find(':'))));
  }
  // What says no more than its absence, and what changes nothing.
  for (const char* member :
       {R"("frequency_penalty":0)", R"("presence_penalty":0.0)", R"("logit_bias":{})", R"("user":"me")",
        R"("metadata":{"a":"b"})", R"("store":true)", R"("service_tier":"auto")", R"("safety_identifier":"x")",
        R"("prompt_cache_key":"x")", R"("prompt_cache_retention":"24h")",
        R"("temperature":0,"top_p":1,"top_k":0,"min_p":0,"repeat_penalty":1)", R"("stop":null)", R"("stop":[])", R"("n":1)",
        R"("stream":false)", R"("priority":5)", R"("timeout_ms":60000)", R"("max_tokens":5)"}) {
    for (const char* route : {COMPLETIONS, CHAT}) {
      const Gathered made = gathered(serving.ask(route, body(route, member)), route == CHAT, 1)[0];
      CHECK_EQ(made.text, "Hi!");
    }
  }
  for (const char* member : {R"("suffix":"")", R"("suffix":null)", R"("best_of":1)", R"("echo":false)"})
    CHECK_EQ(gathered(serving.ask(COMPLETIONS, body(COMPLETIONS, member)), false, 1)[0].text, "Hi!");
  for (const char* member :
       {R"("tools":[])", R"("tools":null)", R"("tool_choice":"none")", R"("functions":[])", R"("function_call":"none")",
        R"("response_format":{"type":"text"})", R"("modalities":["text"])", R"("audio":null)",
        R"("reasoning_effort":"none")", R"("parallel_tool_calls":true)", R"("prediction":{"type":"content","content":"x"})",
        R"("logprobs":false)", R"("max_tokens":4,"max_completion_tokens":4)"})
    CHECK_EQ(gathered(serving.ask(CHAT, body(CHAT, member)), true, 1)[0].text, "Hi!");
}

TEST(prompts) {
  struct Wrong {
    const char* prompt;
    std::string why;
    const char* code;
  };
  const std::string kinds = "prompt: expected a list of texts, of ids, or of lists of ids, got ";
  const std::string long_text = "\"" + std::string(401, 'x') + "\"";
  const Wrong wrong[] = {
      {"null", "prompt: expected a text, a list of texts or a list of ids, there is none", "null"},
      {"5", "prompt: expected a string, got 5", "null"},
      {"{}", "prompt: expected a string, got an object", "null"},
      {"[]", "prompt: expected a text or an id in the list, there is nothing", "null"},
      {"\"\"", "prompt: there is nothing in it, and the tokenizer names no first id", "null"},
      {"[[]]", "prompt: expected an id in each list, there is an empty one", "null"},
      {"[[1],[]]", "prompt: expected an id in each list, there is an empty one", "null"},
      {"[\"1\",\"2\",\"3\",\"4\",\"5\"]",
       "prompt: expected at most 4 texts in one answer, as --slots and --queue allow, got 5", "null"},
      {"[\"a\",5]", kinds + "5", "null"},
      {"[5,\"a\"]", "prompt: expected an integer from 0 to 299, got \\\"a\\\"", "null"},
      {"[5,null]", "prompt: expected an id, got null", "null"},
      {"[[5],\"a\"]", kinds + "\\\"a\\\"", "null"},
      {"[true]", kinds + "true", "null"},
      {"[300]", "prompt: expected an integer from 0 to 299, got 300", "null"},
      {"[-1]", "prompt: expected an integer from 0 to 299, got -1", "null"},
      {long_text.c_str(),
       "prompt: the prompt has 401 tokens, the context is of 400: shorten it, or start the server with --window 400 --ctx "
       "401, which sees the last 400 of them",
       "\"context_length_exceeded\""},
      {"[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,\"x\"]", "prompt: expected an integer from 0 to 299, got \\\"x\\\"",
       "null"},
      {"[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\",\"12\",\"13\",\"14\",\"15\",\"16\",\"17\"]",
       "prompt: expected at most 16 prompts, got 17", "null"},
      {"[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"],\"n\":2",
       "n: expected at most 16 texts in one answer, got 9 prompts with 2 each", "null"},
  };
  Serving serving({{"script", write_script(chatty("Hi!"))}});
  for (const Wrong& row : wrong) {
    const Answer answer = serving.ask(COMPLETIONS, std::string("{\"prompt\":") + row.prompt + "}");
    CHECK_EQ(answer.status, 400);
    CHECK_EQ(answer.body, error(row.why, row.why.substr(0, row.why.find(':')), row.code));
  }
  Script ids("Hi!");
  ids.words = false;
  Serving bare({{"bare", write_script(ids)}});
  CHECK_EQ(
      gathered(bare.ask(COMPLETIONS, R"({"prompt":[1,2],"max_tokens":2,"echo":true,"logprobs":1})"), false, 1)[0].tokens,
      " 1 2 72 105");
  CHECK_EQ(bare.ask(COMPLETIONS, R"({"prompt":"x"})").body,
           error("prompt: the model has no tokenizer: it takes and gives ids", "prompt"));
  CHECK_EQ(bare.ask(CHAT, R"({"messages":[{"role":"user","content":"x"}]})").body,
           error("messages: the model has no tokenizer: it takes and gives ids", "messages"));
}

TEST(messages) {
  struct Wrong {
    const char* form;
    std::string messages, why;
  };
  const std::string u = R"({"role":"user","content":"x"})", a = R"({"role":"assistant","content":"y"})",
                    s = R"({"role":"system","content":"z"})";
  const Wrong wrong[] = {
      {"chatml", "[]", "messages: expected a list with a message, there is none"},
      {"chatml", "null", "messages: expected a list with a message, there is none"},
      {"chatml", "5", "messages: expected a list, got 5"},
      {"chatml", "[5]", "messages[0]: expected an object with \\\"role\\\" and \\\"content\\\", got 5"},
      {"chatml", R"([{"content":"x"}])", "messages[0].role: expected system, developer, user or assistant, there is none"},
      {"chatml", R"([{"role":"tool","content":"x"}])",
       "messages[0].role: expected system, developer, user or assistant, got \\\"tool\\\""},
      {"chatml", R"([{"role":7,"content":"x"}])", "messages[0].role: expected system, developer, user or assistant, got 7"},
      {"chatml", R"([{"role":"user"}])", "messages[0].content: expected a string or a list of parts, there is none"},
      {"chatml", R"([{"role":"user","content":{}}])",
       "messages[0].content: expected a string or a list of parts, got an object"},
      {"chatml", R"([{"role":"user","content":["x"]}])",
       "messages[0].content[0]: expected an object with \\\"type\\\" and \\\"text\\\", got \\\"x\\\""},
      {"chatml", R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"u"}}]}])",
       "messages[0].content[1].type: expected \\\"text\\\", got \\\"image_url\\\""},
      {"chatml", R"([{"role":"user","content":[{"text":"a"}]}])",
       "messages[0].content[0].type: expected \\\"text\\\", there is none"},
      {"chatml", R"([{"role":"user","content":[{"type":"text"}]}])",
       "messages[0].content[0].text: expected a string, there is none"},
      {"chatml", R"([{"role":"user","content":[{"type":"text","text":"a","cache":1}]}])",
       "messages[0].content[0].cache: not a field of a part; there are type, text"},
      {"chatml", R"([{"role":"user","content":"x","name":"Tom"}])",
       "messages[0].name: expected null, nothing or no such field: no chat template has a place for it"},
      {"chatml", "[" + u + R"(,{"role":"assistant","content":"x","tool_calls":[{}]},)" + u + "]",
       "messages[1].tool_calls: expected null, nothing or no such field: no chat template has a place for it"},
      {"chatml", "[" + u + "," + s + "," + u + "]",
       "messages[1].role: expected user or assistant: a system text can only be the first message"},
      {"chatml", "[" + u + "," + a + "]", "messages[1].role: expected user: the last message is what is to be answered"},
      {"chatml", "[" + s + "]", "messages[0].role: expected user: the last message is what is to be answered"},
      {"phi", "[" + s + "," + u + "]",
       "messages[0].role: expected user: the chat template \\\"phi\\\" has no place for a system text"},
      {"mistral", "[" + u + "," + u + "]",
       "messages[1].role: expected assistant: in the chat template \\\"mistral\\\" user and assistant take turns"},
      {"mistral", "[" + s + "," + a + "," + u + "]",
       "messages[1].role: expected user: in the chat template \\\"mistral\\\" user and assistant take turns"},
  };
  Serving serving({{"script", write_script(chatty("Hi!"))}});
  for (const Wrong& row : wrong) {
    use_template(serving, row.form);
    const Answer answer = serving.ask(CHAT, "{\"messages\":" + row.messages + "}");
    CHECK_EQ(answer.status, 400);
    CHECK_EQ(answer.body, error(row.why, row.why.substr(0, row.why.find(':'))));
  }
  // What the model is asked with: as many ids as the words and the texts have bytes, but that special tokens are one each.
  struct Right {
    const char* form;
    std::string messages, conversation;
    int specials;
  };
  const Right right[] = {
      {"chatml", "[" + u + "]", "{user\nx}\n{assistant\n", 3},
      {"chatml", "[" + s + "," + u + "]", "{system\nz}\n{user\nx}\n{assistant\n", 5},
      {"chatml", R"([{"role":"developer","content":"z"},)" + u + "]", "{system\nz}\n{user\nx}\n{assistant\n", 5},
      {"chatml", "[" + a + "," + u + "," + u + "]", "{assistant\ny}\n{user\nx}\n{user\nx}\n{assistant\n", 7},
      {"chatml", "[" + u + R"(,{"role":"assistant","content":"y","refusal":null,"tool_calls":[],"audio":null},)" + u + "]",
       "{user\nx}\n{assistant\ny}\n{user\nx}\n{assistant\n", 7},
      {"chatml",
       R"([{"role":"user","content":[{"type":"text","text":"ab"},{"text":"c","type":"text"},{"type":"text","text":""}]}])",
       "{user\nab\nc\n}\n{assistant\n", 3},
      {"chatml", R"([{"role":"user","content":"<|im_end|>"}])", "{user\n<|im_end|>}\n{assistant\n", 3},  // plain text
      {"plain", "[" + s + "," + u + "," + a + "," + u + "]", "z\nUser: x\nAssistant: y\nUser: x\nAssistant:", 0},
      {nullptr, "[" + u + "]", "x", 0},  // a grammar and no template
  };
  for (const Right& row : right) {
    if (row.form) use_template(serving, row.form);
    serving.server.models[0].has_chat = row.form != nullptr;
    const Answer answer = serving.ask(CHAT, "{\"messages\":" + row.messages + "}");
    CHECK_EQ(answer.status, 200);
    CHECK_EQ(Json(answer.body)["usage"]["prompt_tokens"].text(), std::to_string(row.conversation.size()));
  }
  // Longer than there is room for in words of the template, though the request is not.
  use_template(serving, "llama3");
  std::string many;
  for (int i = 0; i < 560; i++)
    many += a + ",";
  CHECK_EQ(serving.ask(CHAT, "{\"messages\":[" + many + u + "]}").body,
           error("messages: expected at most 4096 texts and, with the words of the chat template, 20000 bytes", "messages",
                 "\"context_length_exceeded\""));
  // A template without a special token at the end of an answer needs a place for a stop string.
  std::string stops = "\"q\"";
  for (int i = 1; i < 16; i++)
    stops += ",\"q" + std::to_string(i) + "\"";
  use_template(serving, "chatml");
  const std::string stopped = "{\"messages\":[" + u + "],\"stop\":[" + stops + "]}";
  CHECK_EQ(gathered(serving.ask(CHAT, stopped), true, 1)[0].text, "Hi!");
  use_template(serving, "plain");
  CHECK_EQ(serving.ask(CHAT, stopped).body,
           error("stop: expected at most 15 strings: the chat template \\\"plain\\\" needs one of the 16 places", "stop"));
  serving.server.models[0].has_chat = false;
  CHECK_EQ(
      serving.ask(CHAT, "{\"messages\":[" + u + "," + u + "]}").body,
      error("messages: expected one message, of the user: the model has a grammar and no chat template, so that each is a "
            "request of its own",
            "messages"));
}

TEST(computing_fails) {
  Serving serving({{"spoiled", write_spoiled_model()}});
  const std::string why = "the output head gave logits that are not finite at position 0";
  const std::string whole = error(why, "", "null", "server_error");
  const Answer answer = serving.ask(COMPLETIONS, R"({"prompt":"x"})");
  CHECK_EQ(answer.status, 500);
  CHECK_EQ(answer.body, whole);
  CHECK_EQ(unchunked(serving.ask(COMPLETIONS, R"({"prompt":"x","stream":true})").body),
           "data: " + whole + "\n\ndata: [DONE]\n\n");
}

TEST(no_model) {
  Serving serving(Serving::Models{});
  CHECK_EQ(serving.ask("GET /v1/models").body, "{\"object\":\"list\",\"data\":[]}");
  for (const char* route : {COMPLETIONS, CHAT}) {
    const Answer answer = serving.ask(route, R"({"model":"x"})");
    CHECK_EQ(answer.status, 503);
    CHECK_EQ(answer.body, error("Model not loaded", "", "null", "server_error"));
  }
}

TEST(most_tokens) {
  ServeOptions options = Serving::small();
  options.most_tokens = 2;
  Serving serving({{"script", write_script(chatty("Hi!"))}}, options);
  use_template(serving, "chatml");
  CHECK_EQ(gathered(serving.ask(COMPLETIONS, R"({"prompt":"x"})"), false, 1)[0].text, "Hi");
  CHECK_EQ(gathered(serving.ask(CHAT, R"({"messages":[{"role":"user","content":"x"}],"max_tokens":3})"), true, 1)[0].text,
           "Hi");
}

// A model file that is overwritten while it is served is no fault of the request.
TEST(an_overwritten_tokenizer) {
  const std::string path = write_script(chatty("Hi!"));
  Serving serving({{"script", path}});
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  const std::string all((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const i32 ids[] = {'a', 'b', 'c', 'd'}, wrong = 5000;
  const size_t at = all.find(std::string(reinterpret_cast<const char*>(ids), sizeof ids));
  CHECK(at != std::string::npos);
  if (at == std::string::npos) return;
  file.seekp(static_cast<std::streamoff>(at));
  file.write(reinterpret_cast<const char*>(&wrong), sizeof wrong);
  file.flush();
  const std::string why = "tokenizer: its tables name id 5000, the vocabulary has 259";
  const Answer answer = serving.ask(COMPLETIONS, R"({"prompt":"a"})");
  CHECK_EQ(answer.status, 500);
  CHECK_EQ(answer.body, error(why, "", "null", "server_error"));
  CHECK_EQ(serving.ask("POST /v1/edge/completions", R"({"prompt":"a"})").status, 500);
}
