// Many connections to one server, driven by one thread. Requests are due on a schedule that knows nothing of the answers (an open
// loop, so that a slow server is not asked less), or a fixed number is under way at any time. Times count from when a request was
// due. Every answer is read whole and compared with the one to the same request alone.
#pragma once
#include <deque>
#include <string>
#include <vector>

#include "load/answer.h"
#include "load/report.h"
#include "load/requests.h"

namespace edgellm::load {

// Seconds of a clock that never goes back.
double clock_seconds();

// A connected socket that does not block, or -1.
int connect_to(const Options& options);

class Generator {
 public:
  Generator(const Options& options, std::vector<Kind>& kinds) : options_(options), kinds_(kinds) {}

  void ask_alone();  // throws where an answer is not right
  void run();
  Report report;

 private:
  struct Client {
    int fd = -1;
    Kind* kind = nullptr;  // of the request under way
    bool alone = false;
    size_t sent = 0;
    double due = 0, first_byte = 0, first_token = 0, last_token = 0;
    AnswerReader answer;
    EventReader events;
    std::string text, finish, wrong;
    long tokens_in = -1, tokens_out = -1;
    bool done = false;  // the stream's last event
    std::vector<double> between;
  };

  void open_all();
  bool reopen(Client& client);
  void start_due(double now, double end);
  void begin(Client& client, double due);
  void keep_busy();
  void wait(double now, double end);
  void move(Client& client, double now);
  void read_events(Client& client, double now);
  void finish(Client& client, double now);
  bool right(Client& client);
  void count(Client& client, double now);
  void lost(Client& client);

  const Options& options_;
  std::vector<Kind>& kinds_;
  std::vector<Client> clients_;
  std::deque<size_t> idle_;
  std::vector<size_t> busy_;
  double begin_ = 0, next_due_ = 0, looked_ = 0;
  size_t next_kind_ = 0;
  bool gone_ = false;  // the server
};

}  // namespace edgellm::load
