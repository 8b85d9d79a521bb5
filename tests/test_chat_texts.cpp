// What templates are taken apart into, text by text, and the exact words where one cannot be.
#include "check.h"
#include "convert/base/error.h"
#include "convert/chat/chat.h"

using namespace edgellm;

namespace {

std::string taken(const std::string& source) {
  try {
    const convert::Chat c = convert::chat_of_jinja(source, "<s>", "</s>");
    return c.name + ": [" + c.start + "][" + c.system + "][" + c.user + "][" + c.answer + "][" + c.assistant + "]" +
           (c.trim ? " trimmed" : "") + (c.bos ? " bos" : "");
  } catch (const convert::Error& error) {
    return std::string("refused: ") + error.what();
  }
}

// A loop over the messages with a text for each role.
std::string loop(const std::string& user, const std::string& assistant,
                 const std::string& end = "{% if add_generation_prompt %}A:{% endif %}",
                 const std::string& system = "S:{{ m.content }}\n") {
  return "{% for m in messages %}{% if m.role == 'user' %}" + user + "{% elif m.role == 'assistant' %}" + assistant +
         "{% else %}" + system + "{% endif %}{% endfor %}" + end;
}

TEST(templates_are_taken_apart) {
  const std::string user = "U:{{ m.content }}\n", assistant = "A:{{ m.content }}\n";
  const std::pair<std::string, std::string> rows[] = {
      {loop(user, assistant), "own: [][S:{system}\n][U:{user}\n][A:][A:{assistant}\n]"},
      {"{{ bos_token }}" + loop(user, assistant), "own: [<s>][<s>S:{system}\n][U:{user}\n][A:][A:{assistant}\n]"},
      {loop(user, "A:{{ m.content }}{{ eos_token }}\n"), "own: [][S:{system}\n][U:{user}\n][A:][A:{assistant}</s>\n]"},
      {loop("U:{{ m.content | trim }}\n", "A:{{ m.content | trim }}\n", "{% if add_generation_prompt %}A:{% endif %}",
            "S:{{ m.content | trim }}\n"),
       "own: [][S:{system}\n][U:{user}\n][A:][A:{assistant}\n] trimmed"},
      // The end of a text where no answer is asked for.
      {loop(user, assistant, "{% if add_generation_prompt %}A:{% else %}{{ eos_token }}{% endif %}"),
       "own: [][S:{system}\n][U:{user}\n][A:][A:{assistant}\n]"},
      // No place for a system text: refused, left out, or with another text then.
      {loop(user, assistant, "{% if add_generation_prompt %}A:{% endif %}", "{{ raise_exception('no') }}"),
       "own: [][][U:{user}\n][A:][A:{assistant}\n]"},
      {loop(user, assistant, "{% if add_generation_prompt %}A:{% endif %}", ""),
       "own: [][][U:{user}\n][A:][A:{assistant}\n]"},
      {loop(user, assistant, "{% if add_generation_prompt %}A:{% endif %}", "{{ m.content }}{{ m.content }}"),
       "own: [][][U:{user}\n][A:][A:{assistant}\n]"},
      {loop(user, assistant, "{% if add_generation_prompt %}A:{% endif %}", "S:{{ m.content | upper }}"),
       "own: [][][U:{user}\n][A:][A:{assistant}\n]"},
      // Inside the first turn.
      {"{% set ns = namespace(s='') %}{% for m in messages %}{% if m.role == 'system' %}{% set ns.s = '<' + m.content + '>' "
       "%}"
       "{% elif m.role == 'user' %}U:{{ ns.s }}{{ m.content }}\n{% set ns.s = '' %}{% else %}A:{{ m.content }}\n{% endif "
       "%}{% endfor %}"
       "{% if add_generation_prompt %}A:{% endif %}",
       "own: [][U:<{system}>{user}\n][U:{user}\n][A:][A:{assistant}\n]"},
      // What cannot be expressed.
      {loop("U:\n", assistant), "refused: it does not write what the user says"},
      {loop(user, "A:\n"), "refused: it does not write what the assistant says"},
      {loop("U:{{ m.content }}{{ m.content }}\n", assistant), "refused: it writes what the user says more than once"},
      {loop(user, "{{ m.content }}{{ m.content }}"), "refused: it writes what the assistant says more than once"},
      {loop("{% if loop.index0 == 2 %}again {% endif %}U:{{ m.content }}\n", assistant),
       "refused: it writes more than texts around what is said"},
      {loop("U:{{ m.content }}{{ loop.index }}\n", assistant),
       "refused: it writes the last turn of the user in another way"},
      {"{% for m in messages[::-1] %}{{ m.content }};{% endfor %}", "refused: it does not keep the order of what is said"},
      {loop(user, assistant, "") + "{% if add_generation_prompt %}{% else %}x{% endif %}",
       "refused: it writes the end of a text in more than one way"},
      {"{% if add_generation_prompt %}x{% endif %}" + loop(user, assistant),
       "refused: it writes the end of a text in more than one way"},
      {loop("U:{{ m.content | replace('?', '!') }}\n", assistant), "refused: it writes more than texts around what is said"},
      {loop("U:{{ m.content }}{{ 'x' if m.content == 'a' }}\n", assistant),
       "refused: it writes more than texts around what is said"},
      {loop("{% if loop.index0 == 6 %}late {% endif %}U:{{ m.content }}\n", assistant),
       "refused: it writes more than texts around what is said"},
      {loop(user, "A:{{ m.content.split('\\n')[0] }}\n"), "refused: it writes more than texts around what is said"},
      {loop(user, assistant, "{% if add_generation_prompt %}" + std::string(4097, 'x') + "{% endif %}"),
       "refused: chat template: a text of 4097 bytes, at most 4096"},
      {"{{ nope() }}", "refused: line 1: a function \"nope\" is not known"},
  };
  for (const auto& [source, expected] : rows)
    CHECK_EQ(source.substr(0, 300) + " -> " + taken(source), source.substr(0, 300) + " -> " + expected);
}

TEST(names_of_templates) {
  CHECK_EQ(convert::chat_names(), "llama3, chatml, bitnet, mistral, llama2, zephyr, falcon3, phi, rwkv, plain");
  try {
    convert::chat_named("chat");
    CHECK(false);
  } catch (const convert::Error& error) {
    CHECK(error.code == Code::usage);
    CHECK_EQ(std::string(error.what()), "--chat chat: expected none, " + convert::chat_names());
  }
  // What a file holds of one: a key for each text that is not empty, and for each flag that is set.
  auto keys = [](const convert::Chat& chat) {
    convert::Metadata metadata;
    convert::add_chat(chat, &metadata);
    std::string out;
    for (const auto& [key, value] : metadata) {
      out += key + "=";
      out += std::holds_alternative<u32>(value) ? std::to_string(std::get<u32>(value)) : std::get<std::string>(value);
      out += ";";
    }
    return out;
  };
  CHECK_EQ(keys({"n", "", "", "", "", ""}), "chat=n;");
  CHECK_EQ(keys({"n", "1", "2", "3", "4", "5", true, true}),
           "chat=n;chat.start=1;chat.system=2;chat.user=3;chat.answer=4;chat.assistant=5;chat.bos=1;chat.trim=1;");
}

}  // namespace
