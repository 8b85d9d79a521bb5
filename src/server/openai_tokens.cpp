// What OpenAI's routes tell of a text's tokens: log probabilities, and the bytes of each. The tokens together are the text: one that
// ends within a character has no text, and the one that completes it has the character.
#include "server/openai.h"
#include "text/unicode.h"

namespace edgellm {

namespace {

constexpr i64 MOST_TEXT = 1024;  // of a token that is not UTF-8, or has no text
constexpr i32 DECIMALS = 6;      // the error of a log probability is about as large as the last

bool is_utf8(Text text) {
  while (text.size) {
    const i32 length = utf8_length(text.data, text.size);
    if (length <= 0) return false;
    text = text.from(length);
  }
  return true;
}

// A token as it is called where it is not a part of the text: with U+FFFD for what is no character, or, where it is a key, every
// byte in hexadecimal.
Text token_name(const Engine& engine, i32 id, bool key, Writer& room) {
  if (!engine.has_tokenizer) return write(room, " ", id).text();
  Text piece = engine.tokenizer.piece(id);
  if (is_utf8(piece)) return piece;
  if (key) room.add("bytes:");
  while (piece.size) {
    i32 length = utf8_length(piece.data, piece.size);
    if (length == 0) length = -static_cast<i32>(piece.size);
    const bool good = length > 0 && !key;
    length = good ? length : key ? 1 : -length;
    if (good) {
      room.add(piece.slice(0, length));
    } else if (key) {
      write(room, "\\x", Hex{static_cast<u8>(piece[0]), 2});
    } else {
      room.add("\xef\xbf\xbd");
    }
    piece = piece.from(length);
  }
  return room.text();
}

// Null for a token that prints nothing.
void write_bytes(JsonWriter& json, const Engine& engine, i32 id, i64 skipped, i64 dropped) {
  const bool prints = engine.has_tokenizer && !engine.tokenizer.special(id) && engine.tokenizer.piece(id).size > 0;
  if (!prints) return json.null("bytes");
  const Text piece = engine.tokenizer.piece(id);
  json.open_list("bytes");
  for (i64 i = skipped; i < piece.size - dropped; i++)
    json.number({}, static_cast<u8>(piece[i]));
  json.close_list();
}

void write_value(JsonWriter& json, Text key, f32 value) {
  value > 0 ? json.null(key) : json.real(key, {static_cast<f64>(value), DECIMALS});
}

struct Tokens {
  const Choice& choice;
  const Engine& engine;
  Range range;

  const TokenRecord& at(i64 i) const { return choice.tokens[i]; }

  // Of the text, as far as it is here.
  Text text(i64 i) const {
    const i64 start = i ? at(i - 1).end : 0, end = at(i).end;
    return choice.text().slice(min(start, choice.used), min(end, choice.used) - min(start, choice.used));
  }
};

void write_chat_token(JsonWriter& json, const Tokens& tokens, i64 i) {
  const TokenRecord& record = tokens.at(i);
  json.open({});
  json.text("token", tokens.text(i));
  write_value(json, "logprob", record.value);
  write_bytes(json, tokens.engine, record.id, record.skipped, record.dropped);
  json.open_list("top_logprobs");
  for (i32 t = 0; t < record.tops; t++) {
    char buffer[MOST_TEXT];
    Writer room(buffer);
    json.open({});
    json.text("token", token_name(tokens.engine, record.top[t].id, false, room));
    write_value(json, "logprob", record.top[t].value);
    write_bytes(json, tokens.engine, record.top[t].id, 0, 0);
    json.close();
  }
  json.close_list();
  json.close();
}

// The most probable tokens and the one that was drawn. Of two with the same name the more probable one.
void write_top(JsonWriter& json, const Tokens& tokens, const TokenRecord& record) {
  if (record.value > 0) return json.null({});
  LogProbability all[MOST_LOG_PROBABILITIES + 1];
  Text names[MOST_LOG_PROBABILITIES + 1];
  char buffers[MOST_LOG_PROBABILITIES + 1][128];
  i32 count = 0;
  json.open({});
  for (i32 t = 0; t <= record.tops; t++) {
    all[count] = t < record.tops ? record.top[t] : LogProbability{record.id, record.value};
    Writer room(buffers[count]);
    names[count] = token_name(tokens.engine, all[count].id, true, room);
    bool known = names[count].size == 0;
    for (i32 k = 0; k < count; k++)
      known |= names[k] == names[count];
    if (known) continue;
    write_value(json, names[count], all[count].value);
    count++;
  }
  json.close();
}

void write_token_lists(JsonWriter& json, const Tokens& tokens) {
  const Range range = tokens.range;
  json.open_list("tokens");
  for (i64 i = range.from; i < range.to; i++)
    json.text({}, tokens.text(i));
  json.close_list();
  json.open_list("token_logprobs");
  for (i64 i = range.from; i < range.to; i++)
    write_value(json, {}, tokens.at(i).value);
  json.close_list();
  json.open_list("top_logprobs");
  for (i64 i = range.from; i < range.to; i++)
    write_top(json, tokens, tokens.at(i));
  json.close_list();
  json.open_list("text_offset");
  i64 offset = tokens.choice.characters;
  for (i64 i = 0; i < range.to; i++) {
    if (i >= range.from) json.number({}, offset);
    offset += characters_of(tokens.text(i));
  }
  json.close_list();
}

// Bytes that a record takes in the answer, but for its own text, which is not here yet.
i64 record_bytes(const Choice& choice, i64 index) {
  i64 bytes = 0;
  auto count = [](void* total, Text text) { *static_cast<i64*>(total) += text.size; };
  JsonWriter none(count, &bytes);
  write_log_probabilities(none, choice, {index, index});
  const i64 frame = bytes;
  JsonWriter one(count, &bytes);
  write_log_probabilities(one, choice, {index, index + 1});
  return bytes - 2 * frame + 4 + 7;  // commas between records, and a longer offset
}

void count_record(Choice& choice, i64 index) {
  if (choice.reply->streams) return;
  choice.escaped += record_bytes(choice, index);
  choice.full |= choice.escaped > choice.room.count;
}

// The bytes at a token's beginning that are not printed: those before `bytes`, with which it ends.
u16 skipped_bytes(const Engine& engine, i32 id, Text bytes) {
  if (!engine.has_tokenizer) return 0;
  return static_cast<u16>(min<i64>(engine.tokenizer.piece(id).size - bytes.size, 65535));
}

// Whether the token begins with the space that the template writes behind the words that begin an answer.
bool drops_space(Choice& choice, Text bytes) {
  const bool drops = choice.spaced_token && bytes.size && bytes[0] == ' ';
  choice.spaced_token = choice.spaced_token && bytes.size == 0;
  return drops;
}

// Adds the text of an id of a prompt; `last`: none follows. False: there is no room for it.
bool echo_id(Choice& choice, Decoder& decoder, i32 id, bool last, Text* bytes) {
  if (!choice.reply->model->engine.has_tokenizer) {
    char buffer[16];
    Writer word(buffer);
    return choice.add(write(word, " ", id).text());
  }
  decoder.push(id);
  *bytes = decoder.pushed();
  for (;;) {
    for (Text text; (text = decoder.take()).size != 0;) {
      if (!choice.add(text)) return false;
    }
    if (!last) return true;
    decoder.finish();
    last = false;
  }
}

}  // namespace

i64 characters_of(Text text) {
  i64 count = 0;
  for (i64 i = 0; i < text.size; i++)
    count += (text[i] & 0xc0) != 0x80;
  return count;
}

bool room_for_token(const Choice& choice) {
  return choice.used + choice.tokens.bytes() + choice.tokens.record_bytes() <= choice.room.count;
}

void keep_token(Choice& choice, i32 id) {
  const Reply& reply = *choice.reply;
  if (reply.openai.log_probabilities < 0) return;
  choice.full |= !room_for_token(choice);
  if (choice.full) return;
  const Scheduler& scheduler = reply.model->scheduler;
  i64 text_bytes;
  bool inside;
  const Text bytes = scheduler.bytes(&text_bytes, &inside);
  const bool drops = drops_space(choice, bytes);
  TokenRecord& record = choice.tokens.add(id);
  record.end += static_cast<i32>(text_bytes) - drops;
  record.inside = inside;
  record.skipped = static_cast<u16>(skipped_bytes(reply.model->engine, id, bytes) + drops);
  choice.tokens.read(record, scheduler.log_probabilities());
  count_record(choice, choice.tokens.count() - 1);
}

bool echo_prompt(Choice& choice, const OpenAiPrompt& prompt, Span<const i32> ids) {
  const Engine& engine = choice.reply->model->engine;
  const bool records = choice.reply->openai.log_probabilities >= 0;
  if (!records && !prompt.ids) return choice.add(prompt.text);
  choice.begun = !prompt.ids && ids[0] == engine.bos;
  Decoder decoder = engine.has_tokenizer ? Decoder(engine.tokenizer) : Decoder();
  for (i64 i = 0; i < ids.count; i++) {
    Text bytes;
    if (!echo_id(choice, decoder, ids[i], i + 1 == ids.count, &bytes)) return false;
    if (!records || i < choice.begun) continue;
    if (!room_for_token(choice)) return false;
    TokenRecord& record = choice.tokens.add(ids[i]);
    record.end = static_cast<i32>(choice.used);
    record.skipped = skipped_bytes(engine, ids[i], bytes);
  }
  if (records) choice.escaped *= 2;  // once more, in the tokens
  return true;
}

void keep_prompt_token(Choice& choice, i64 index) {
  const i64 at = index - choice.begun;
  choice.tokens.read(choice.tokens[at], choice.reply->model->scheduler.log_probabilities());
  count_record(choice, at);
}

void write_log_probabilities(JsonWriter& json, const Choice& choice, Range range) {
  const Tokens tokens = {choice, choice.reply->model->engine, range};
  if (choice.reply->openai.log_probabilities < 0) return json.null("logprobs");
  json.open("logprobs");
  if (choice.reply->openai.chat) {
    json.open_list("content");
    for (i64 i = range.from; i < range.to; i++)
      write_chat_token(json, tokens, i);
    json.close_list();
    json.null("refusal");
  } else {
    write_token_lists(json, tokens);
  }
  json.close();
}

}  // namespace edgellm
