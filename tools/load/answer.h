// What a server sends back, read by rules of its own rather than by the code of our server: the bytes of one answer in HTTP/1.1,
// the events of a stream, and what stands in the JSON of our routes.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace edgellm::load {

// One answer, from bytes that come in pieces.
class AnswerReader {
 public:
  // Takes what came. Whatever stands behind the end of the answer is a mistake, since nothing was asked.
  void feed(std::string_view bytes);
  void ended();  // the connection, by the other side

  bool whole() const { return state_ == State::whole; }
  bool begun() const { return begun_; }
  const std::string& wrong() const { return wrong_; }  // why this is no answer; empty: nothing yet

  int status = 0;
  bool keep = true;                     // the connection takes another request
  std::string type, retry_after, body;  // the body without its chunks

 private:
  enum class State { head, length, chunk_size, chunk, chunk_end, trailers, until_end, whole };
  void fail(const std::string& why);
  bool step();
  bool take_line(std::string_view* line);
  void read_head_line(std::string_view line);
  void read_field(const std::string& name, std::string_view value);
  void end_head();

  State state_ = State::head;
  std::string pending_, wrong_;
  std::string line_;
  bool begun_ = false, chunked_ = false;
  long length_ = -1;
  size_t left_ = 0;  // of the body or the chunk
};

// The data of an event stream, event by event.
class EventReader {
 public:
  // The next whole event of `body`, of which more may follow later; false: there is none. Comments are passed over.
  bool next(const std::string& body, std::string* data);
  std::string wrong;

 private:
  size_t at_ = 0;
};

// What our routes say. A member that is absent is empty or -1.
struct Said {
  std::string text;    // that was made
  std::string finish;  // why it ended
  std::string error;   // in words
  long tokens_in = -1, tokens_out = -1;
};

// False: it is no JSON; *why says where.
bool read_said(std::string json, Said* said, std::string* why);

}  // namespace edgellm::load
