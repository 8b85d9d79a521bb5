// What requests for texts of every family may say, and the request that several families share: a prompt, and one text that is
// answered whole.
//
//   field        what                                                             without it
//   temperature  0 to 100                                                         the model's
//   top_p        0 to 1                                                           0.9
//   seed         0 to 2^64 - 1                                                    one is drawn
//   stop         a string of 1 to 256 bytes, or a list of up to 16 such strings   none
//   priority     -100 to 100: the higher goes first                               the header field X-Priority, or 0
//   timeout_ms   1 to 86,400,000 from now: the text ends with what there is       none
#pragma once
#include "server/server.h"

namespace edgellm {

constexpr i64 MAX_PRIORITY = 100;
constexpr i64 MAX_TIMEOUT_MS = 86400000;

// Reads the fields above: what the request says, and otherwise what stands without it.
Status read_text_fields(Server& server, const ServedModel& model, const Connection& c, const JsonNode& object,
                        CompletionRequest* request);

// How many tokens a request asks for, from `least` on.
Status read_tokens(JsonField field, i64 least, i64* tokens);

// {"prompt", "max_tokens", "model"} and the fields above. Every other field is an error.
struct PlainRequest {
  i64 tokens;  // max_tokens where there is none
  i64 most;    // a larger max_tokens is cut to it
};

// Begins the answer to the request that came, or answers what is wrong with it.
void begin_plain_text(Server& server, Connection& c, const PlainRequest& plain, const ReplyForm& form);

// Of a text that has ended: if computing failed, that is the answer, and true.
bool answer_failure(const Choice& choice);

}  // namespace edgellm
