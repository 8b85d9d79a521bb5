// edgellm serve from the outside: what it refuses to start with, what it says when it is ready, keys and origins, the log, and how
// it ends.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "files.h"
#include "platform/sockets.h"
#include "program.h"
#include "server_process.h"

static const std::string STORIES = "models/stories.tm2";
static const std::string COMPLETIONS = "POST /v1/edge/completions";
static const std::string PROMPT = R"({"prompt":"Once upon a time","max_tokens":20})";

// --- What it does not start with -----------------------------------------------------------------------------------------

TEST(refusals) {
  Folder folder;
  edgellm::i32 port = 0, listener = -1;
  CHECK(edgellm::listen_on("127.0.0.1", &port, &listener).ok());
  const std::string keys = folder / "keys", no_keys = folder / "none", long_keys = folder / "long";
  write_file(keys, "a b\n");
  write_file(no_keys, "# none\n");
  write_file(long_keys, std::string(65537, '\n'));
  const std::string m = STORIES + " --port 0 ", taken = std::to_string(port);
  const std::string name = "a name is 1 to 128 bytes of UTF-8 without control characters";
  const struct {
    std::string before, words;
    int code;
    std::string error;
  } rows[] = {
      {"", STORIES + " --port " + taken, 1,
       "cannot listen on 127.0.0.1 port " + taken + ": " + std::strerror(EADDRINUSE) +
           "; another program listens there: --port takes another port, --port 0 any that is free"},
      {"", m + "--host localhost", 2, "\"localhost\" is no address: expected one such as 127.0.0.1, 0.0.0.0 or ::1"},
      {"", m + "--host 203.0.113.7", 1,
       std::string("cannot listen on 203.0.113.7 port 0: ") + std::strerror(EADDRNOTAVAIL) +
           "; it is no address of this machine: --host 0.0.0.0 takes all of them"},
      {"ulimit -n 100; ", m, 1,
       "so many connections need 320 open files, and the system allows 100: fewer --connections, or `ulimit -n 320`"},
      {"ulimit -n 100; ", m + "--connections 37", 1,
       "so many connections need 101 open files, and the system allows 100: fewer --connections, or `ulimit -n 101`"},
      {"", m + "--api-key-file " + (folder / "absent"), 1,
       "--api-key-file " + (folder / "absent") + ": " + std::strerror(ENOENT)},
      {"", m + "--api-key-file " + folder.path, 1, "--api-key-file " + folder.path + ": not a regular file"},
      {"", m + "--api-key-file " + keys, 2,
       keys + " line 1: a key is visible ASCII characters without a space between them"},
      {"", m + "--api-key-file " + no_keys, 2, no_keys + ": no key in it; one in each line is expected"},
      {"", m + "--api-key-file " + long_keys, 2, "--api-key-file " + long_keys + ": 65537 bytes; at most 65536"},
      {"", m + "--node \"$(printf 'a\\tb')\"", 2, "--node \"a\tb\": " + name},
      {"", m + "--node \"$(printf '\\377')\"", 2, "--node \"\xff\": " + name},
      {"", m + "--node " + std::string(129, 'n'), 2, "--node \"" + std::string(129, 'n') + "\": " + name},
      {"", "--port 0 --model \"$(printf 'a\\001')=" + STORIES + "\"", 2, "--model \"a\x01\": " + name},
      {"", "--port 0 --model " + STORIES + " --model " + STORIES, 2,
       "two models are called stories: --model NAME=FILE gives another name"},
      {"", "--port 0 --model a=" + STORIES + " --model absent.tm2", 3,
       std::string("cannot open absent.tm2: ") + std::strerror(ENOENT)},
      {"", "--port 0 absent.tm2", 3, std::string("cannot open absent.tm2: ") + std::strerror(ENOENT)},
      {"", "--port 0 README.md", 3,
       "README.md is a text: edgellm MODEL -f FILE goes on from it; a model file is what edgellm-convert makes of a GGUF "
       "file, a "
       "Hugging Face folder or others (edgellm-convert --help)"},
  };
  for (const auto& row : rows) {
    const Said said = shell(row.before + std::getenv("EDGELLM") + " serve " + row.words);
    CHECK_EQ(said.err, "edgellm: " + row.error + "\n");
    CHECK_EQ(said.code, row.code);
    CHECK_EQ(said.out, "");
  }
  close(listener);
}

// Where it listens if nothing else is said. The port is held here, so that it does not start.
TEST(default_ports) {
  for (const auto& [words, port] : {std::pair<std::string, edgellm::i32>("", 8081), {" --experts-service", 8090}}) {
    edgellm::i32 wanted = port, listener = -1;
    if (!edgellm::listen_on("127.0.0.1", &wanted, &listener).ok()) SKIP("port " + std::to_string(port) + " is taken");
    const Said said = edgellm_says("serve " + STORIES + words);
    CHECK_EQ(said.code, 1);
    CHECK(contains(said.err, "edgellm: cannot listen on 127.0.0.1 port " + std::to_string(port) + ": "));
    close(listener);
  }
}

// The megabytes that are needed, as a refusal says them.
static int megabytes_needed(const std::string& words) {
  const Said said = edgellm_says("serve " + STORIES + " --port 0 --max-memory-mb 2 " + words);
  std::smatch found;
  const std::regex form(
      "edgellm: --max-memory-mb 2: ([0-9]+) are needed: [0-9]+\\.[0-9] MB of model files, [0-9]+\\.[0-9] MB of models' "
      "memory, "
      "[0-9]+\\.[0-9] MB of the server's; less with fewer --slots, --queue, --connections or a smaller --ctx, "
      "--max-body-kb\n");
  CHECK_EQ(said.code, 1);
  const bool matches = std::regex_match(said.err, found, form);
  CHECK(matches || (std::printf("%s", said.err.c_str()), false));
  return matches ? std::stoi(found[1]) : 0;
}

// What is needed is enough, and one less is not.
TEST(memory_limit) {
  const int needed = megabytes_needed("");
  const std::string less = "serve " + STORIES + " --port 0 --max-memory-mb " + std::to_string(needed - 1);
  CHECK_EQ(edgellm_says(less).code, 1);
  ServerProcess server(STORIES + " --max-memory-mb " + std::to_string(needed));
  CHECK_EQ(status_of(ask_port(server.port(), COMPLETIONS, PROMPT)), 200);
  for (const char* words : {"--slots 1", "--queue 1", "--connections 2", "--ctx 64", "--max-body-kb 16"})
    CHECK(megabytes_needed(words) < needed);
  CHECK(megabytes_needed("--slots 8") > needed);
}

// What it takes is what it says, of several models too.
TEST(memory_of_several) {
#if defined(__linux__)
  const char* mode = std::getenv("EDGELLM_MODE");
  if (!mode || std::string(mode) != "release" || std::string(std::getenv("EDGELLM")).find(' ') != std::string::npos)
    SKIP("only the program itself has no memory but its own");
  std::string words = "--slots 2 --queue 2 --ctx 100 --threads 2";
  for (const char* name : {"a", "b", "c", "d", "e", "f"})
    words += std::string(" --model ") + name + "=" + STORIES;
  ServerProcess server(words);
  const std::string figures = ask_port(server.port(), "GET /metrics");
  const size_t at = figures.find("\nedgellm_planned_memory_bytes ");
  CHECK(at != std::string::npos);
  const double planned = std::atof(figures.c_str() + at + 30), own = 1024.0 * static_cast<double>(server.own_memory());
  CHECK(own >= planned && own < planned + 2e6);
  std::smatch said;
  CHECK(std::regex_search(server.ready, said, std::regex("([0-9]+\\.[0-9]) MB of memory")));
  CHECK(std::abs(std::stod(said[1]) * 1e6 - planned) < 0.06e6);
#else
  SKIP("this system does not tell");
#endif
}

TEST(too_little_memory) {
  const Said said = shell("ulimit -v 30000; " + std::string(std::getenv("EDGELLM")) + " serve " + STORIES + " --port 0");
  const std::regex form(
      "edgellm: cannot take [0-9]+ bytes of memory: [^;]*; less with fewer --slots, --queue, --connections "
      "or a smaller --ctx, --max-body-kb\n");
  if (std::getenv("EDGELLM_MODE") && std::string(std::getenv("EDGELLM_MODE")) != "release") SKIP("needs more by itself");
  CHECK(std::regex_match(said.err, form) || (std::printf("%s", said.err.c_str()), false));
  CHECK_EQ(said.code, 1);
}

// Until the models are open nobody listens, but the port is taken.
TEST(refused_until_ready) {
  const std::string program = std::getenv("EDGELLM");
  if (program.find(' ') != std::string::npos) SKIP("the program is run by an emulator");
  Folder folder;
  const std::string copy = folder / "edgellm", converter = folder / "edgellm-convert", begun = folder / "begun",
                    go = folder / "go";
  std::filesystem::copy_file(program, copy);
  write_file(converter, "#!/bin/sh\n[ \"$1\" = --version ] && { echo 1; exit; }\n: > '" + begun + "'\nwhile [ ! -e '" + go +
                            "' ]; do sleep 0.01; done\nexit 1\n");
  CHECK_EQ(chmod(converter.c_str(), 0700), 0);
  edgellm::i32 port = 0, listener = -1;
  CHECK(edgellm::listen_on("127.0.0.1", &port, &listener).ok());
  close(listener);
  const std::string number = std::to_string(port);
  const pid_t child = fork();
  if (child == 0) {
    const std::string command = "XDG_CACHE_HOME='" + (folder / "cache") + "' exec '" + copy + "' serve --port " + number +
                                " -m a=" + STORIES + " -m b=tests/golden/gguf/llama.gguf 2> '" + (folder / "said") + "'";
    execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    _exit(127);
  }
  CHECK(comes_true([&] { return std::filesystem::exists(begun); }));
  CHECK_EQ(connect_to_port(port), -1);
  write_file(go, "");
  int status = 0;
  CHECK_EQ(waitpid(child, &status, 0), child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) != 0);
}

// --- What it says --------------------------------------------------------------------------------------------------------

TEST(ready) {
  const std::string tail = ", 4 slots of 512 positions, [0-9]+\\.[0-9] MB of memory, [0-9]+\\.[0-9] MB of model files";
  {
    ServerProcess server(STORIES);
    CHECK(std::regex_match(server.ready, std::regex("edgellm: stories at http://127\\.0\\.0\\.1:[0-9]+" + tail)));
    CHECK_EQ(server.notes, "");
    CHECK(contains(body_of(ask_port(server.port(), COMPLETIONS, PROMPT)), "\"model\":\"stories\""));
    CHECK_EQ(status_of(ask_port(server.port(), "GET /nothing")), 404);
  }
  {
    ServerProcess server("--model a=" + STORIES + " -m " + STORIES + " --slots 1 --ctx 100 --node kitchen --host 0.0.0.0");
    CHECK(contains(server.ready, "edgellm: a, stories at http://0.0.0.0:"));
    CHECK(contains(server.ready, ", 1 slot each, "));
    CHECK_EQ(server.notes, "note: whoever reaches 0.0.0.0 port " + std::to_string(server.port()) +
                               " may ask; --api-key-file FILE asks them for a key\n");
    const std::string answer = body_of(ask_port(server.port(), COMPLETIONS, PROMPT));
    CHECK(contains(answer, "\"model\":\"a\"") && contains(answer, "\"node\":\"kitchen\""));
  }
  {
    ServerProcess server("--slots 1 --ctx 100", "EDGELLM_MODEL=" + STORIES + " ");
    CHECK(contains(server.ready, "edgellm: stories at "));
    CHECK(contains(server.ready, ", 1 slot of 100 positions, "));
  }
  {
    ServerProcess server("");
    CHECK(std::regex_match(server.ready, std::regex("edgellm: no model at http://127\\.0\\.0\\.1:[0-9]+, texts are refused; "
                                                    "to serve one: edgellm serve MODEL")));
    CHECK(contains(body_of(ask_port(server.port(), "GET /v1/edge/health")), "\"status\":\"no_model\""));
    CHECK_EQ(body_of(ask_port(server.port(), COMPLETIONS, PROMPT)), R"({"error":"Model not loaded"})");
  }
}

// A source is converted as for every command, of several models too.
TEST(converted) {
  const char* converter = std::getenv("EDGELLM_CONVERT");
  const std::string program = std::getenv("EDGELLM");
  if (!converter || program.find(' ') != std::string::npos || shell(std::string(converter) + " --version").code != 0)
    SKIP("edgellm-convert cannot be started from edgellm");
  Folder folder;
  const std::string path = converter, beside = path.substr(0, path.rfind('/'));
  const std::string environment = "export XDG_CACHE_HOME=" + folder.path + " PATH=" + beside + ":$PATH; ";
  for (const bool first : {true, false}) {
    ServerProcess server("-m a=" + STORIES + " -m tests/golden/gguf/llama.gguf", environment);
    CHECK(contains(server.ready, "edgellm: a, llama at http://"));
    CHECK_EQ(contains(server.notes, "note: tests/golden/gguf/llama.gguf is converted, once, into "), first);
  }
  const Said said = shell(environment + program + " serve --port 0 tests/golden/gguf/llama.gguf --no-convert");
  CHECK_EQ(said.code, 3);
  CHECK(contains(said.err, "edgellm: tests/golden/gguf/llama.gguf is a GGUF file: edgellm-convert "));
}

TEST(on_ipv6) {
  edgellm::i32 port = 0, listener = -1;
  if (!edgellm::listen_on("::1", &port, &listener).ok()) SKIP("this system has no IPv6");
  close(listener);
  ServerProcess server(STORIES + " --host ::1");
  CHECK(contains(server.ready, "edgellm: stories at http://[::1]:"));
  CHECK(server.port() > 0);
}

// More connections than the soft limit on open files allows.
TEST(raised_limit) {
  ServerProcess server(STORIES + " --connections 200", "ulimit -S -n 100; ");
  std::vector<int> clients;
  for (int i = 0; i < 200; i++)
    clients.push_back(connect_to_port(server.port()));
  for (int fd : clients) {  // all of them at once
    send_all(fd, http_request("GET /healthz"));
    CHECK_EQ(status_of(receive_all(fd)), 200);
  }
}

// Streams that are closed when it starts are no place for a connection.
TEST(closed_streams) {
  ServerProcess server(STORIES + " <&- >&-");
  for (int i = 0; i < 3; i++)
    CHECK_EQ(status_of(ask_port(server.port(), COMPLETIONS, PROMPT)), 200);
#if defined(__linux__)
  if (std::string(std::getenv("EDGELLM")).find(' ') != std::string::npos) return;  // an emulator has files of its own
  for (const char* stream : {"0", "1"}) {
    char target[64] = "";
    const std::string link = "/proc/" + std::to_string(server.pid()) + "/fd/" + stream;
    CHECK(readlink(link.c_str(), target, sizeof target - 1) > 0);
    CHECK_EQ(std::string(target), "/dev/null");
  }
#endif
}

// --- Who may ask ---------------------------------------------------------------------------------------------------------

TEST(keys_and_origins) {
  Folder folder;
  write_file(folder / "keys", "# two of them\nsecret\nother\n");
  ServerProcess server(STORIES + " --host 0.0.0.0 --api-key-file " + (folder / "keys") + " --cors-origin http://a.example");
  CHECK_EQ(server.notes, "");
  const struct {
    std::string line, fields;
    int status;
  } rows[] = {
      {COMPLETIONS, "", 401},
      {COMPLETIONS, "Authorization: Bearer secret\r\n", 200},
      {COMPLETIONS, "X-Api-Key: other\r\n", 200},
      {COMPLETIONS, "X-Api-Key: Other\r\n", 401},
      {"GET /v1/edge/models", "", 401},
      {"GET /v1/edge/health", "", 200},
      {"OPTIONS /v1/edge/completions", "Origin: http://a.example\r\nAccess-Control-Request-Method: POST\r\n", 204},
      {"OPTIONS /v1/edge/completions", "Origin: http://b.example\r\nAccess-Control-Request-Method: POST\r\n", 403},
  };
  for (const auto& row : rows)
    CHECK_EQ(status_of(ask_port(server.port(), row.line, row.line == COMPLETIONS ? PROMPT : "", row.fields)), row.status);
  const std::string answer =
      ask_port(server.port(), COMPLETIONS, PROMPT, "X-Api-Key: secret\r\nOrigin: http://a.example\r\n");
  CHECK(contains(answer, "\r\nAccess-Control-Allow-Origin: http://a.example\r\nVary: Origin\r\n"));
}

// --- The log -------------------------------------------------------------------------------------------------------------

TEST(log) {
  ServerProcess server(STORIES + " --log --answer-kb 16");
  const std::string number = "[0-9]+\\.[0-9]", time = "\\{\"time\":\"20[0-9-]+T[0-9:]+Z\",\"client\":\"127\\.0\\.0\\.1\",";
  const auto line = [&] { return server.next_line(); };
  const std::string answer = ask_port(server.port(), COMPLETIONS, PROMPT);
  CHECK(std::regex_match(
      line(), std::regex(time + "\"method\":\"POST\",\"path\":\"/v1/edge/completions\",\"status\":200,\"bytes\":" +
                         std::to_string(answer.size()) +
                         ",\"tokens_in\":5,\"tokens_out\":20,\"cached\":0,\"first_token_ms\":" + number +
                         ",\"ms\":" + number + ",\"slot\":[0-3],\"ending\":\"length\"\\}")));
  const std::string none = ",\"tokens_in\":0,\"tokens_out\":0,\"cached\":0,\"first_token_ms\":null,\"ms\":" + number +
                           ",\"slot\":null,\"ending\":null\\}";
  const std::string absent = ask_port(server.port(), "GET /a\"b?secret=1");
  CHECK(std::regex_match(line(), std::regex(time + R"("method":"GET","path":"/a\\"b","status":404,"bytes":)" +
                                            std::to_string(absent.size()) + none)));
  {
    const int fd = connect_to_port(server.port());
    send_all(fd, "?\r\n");
    const std::string refused = receive_all(fd);
    CHECK(std::regex_match(line(), std::regex(time + "\"method\":\"\",\"path\":\"\",\"status\":400,\"bytes\":" +
                                              std::to_string(refused.size()) + none)));
  }
  const std::string full = ask_port(server.port(), "POST /v1/completions",
                                    R"({"prompt":"a","logprobs":5,"max_tokens":300,"temperature":100,"top_p":1,"seed":1})");
  CHECK(contains(full, "\"finish_reason\":\"length\""));
  CHECK(std::regex_match(line(), std::regex(time + ".*\"status\":200,.*\"ending\":\"room\"\\}")));
  {  // gone within its body
    const int fd = connect_to_port(server.port());
    send_all(fd, "POST /v1/edge/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nx");
    close(fd);
    CHECK(std::regex_match(line(), std::regex(time + ".*\"status\":0,\"bytes\":0,.*\"ending\":\"client gone\"\\}")));
  }
}

// Nobody reads the log: the server goes on, and says what it could not write.
TEST(log_that_nobody_reads) {
  ServerProcess server(STORIES + " --log", "", 4096);
  constexpr int COUNT = 400;  // with the system's own size of a pipe, too
  for (int i = 0; i < COUNT; i++)
    CHECK_EQ(status_of(ask_port(server.port(), "GET /" + std::string(190, 'p'))), 404);
  int lines = 0, lost = 0;
  for (std::string line; lost == 0 && lines < COUNT;) {
    line = server.next_line();
    if (line.empty()) break;
    const size_t at = line.find("\"lost_lines\":");
    if (at != std::string::npos) lost = std::atoi(line.c_str() + at + 13);
    lines++;
    if (lost == 0) CHECK_EQ(status_of(ask_port(server.port(), "GET /more")), 404);
  }
  CHECK(lost > 0 && lines > 0);
}

// --- How it ends ---------------------------------------------------------------------------------------------------------

// More requests than slots, and the signal when the first was answered: each is answered whole.
TEST(draining) {
  for (const int signal : {SIGTERM, SIGINT}) {
    ServerProcess server(STORIES + " --slots 2");
    const std::string request = http_request(COMPLETIONS, R"({"prompt":"Once upon a time","max_tokens":100})");
    std::vector<int> clients;
    for (int i = 0; i < 12; i++) {
      clients.push_back(connect_to_port(server.port()));
      send_all(clients.back(), request);
    }
    std::vector<pollfd> waits;
    for (int fd : clients)
      waits.push_back({fd, POLLIN, 0});
    CHECK(poll(waits.data(), waits.size(), 30000) > 0);
    server.send_signal(signal);
    for (int fd : clients) {
      const std::string answer = receive_all(fd);
      CHECK_EQ(status_of(answer), 200);
      CHECK(contains(answer, "\r\nConnection: close\r\n") && contains(answer, "\"tokens_generated\":"));
    }
    CHECK_EQ(server.next_line(), "");
    CHECK_EQ(server.end(), 0);
  }
}

// A client that does not send the rest of its body, and that holds the end up.
static int half_a_request(const ServerProcess& server) {
  const int fd = connect_to_port(server.port());
  send_all(fd, "POST /v1/edge/completions HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n");
  char buffer[64];
  CHECK_EQ(recv(fd, buffer, sizeof buffer, 0), ssize_t{25});  // 100 Continue: the request has begun
  return fd;
}

TEST(time_to_drain) {
  ServerProcess server(STORIES + " --drain-seconds 0.2");
  const int fd = half_a_request(server);
  server.send_signal(SIGTERM);
  CHECK_EQ(server.next_line(), "note: 1 request did not end within --drain-seconds");
  CHECK_EQ(server.end(), 0);
  close(fd);
}

TEST(second_signal) {
  for (const int signal : {SIGTERM, SIGINT}) {
    ServerProcess server(STORIES);
    const int fd = half_a_request(server);
    server.send_signal(SIGTERM);
    for (int i = 0; i < 30000; i++) {  // until it has heard of the first: nobody listens any more
      const int other = connect_to_port(server.port());
      if (other < 0) break;
      close(other);
      usleep(1000);
    }
    server.send_signal(signal);
    CHECK_EQ(server.end(), 128 + signal);
    close(fd);
  }
}

// One that was killed leaves nothing behind that keeps the next from its port, requests in the middle included.
TEST(killed) {
  int port = 0;
  {
    ServerProcess server(STORIES);
    port = server.port();
    (void)half_a_request(server);
    CHECK_EQ(status_of(ask_port(port, COMPLETIONS, PROMPT)), 200);
    server.send_signal(SIGKILL);
    CHECK_EQ(server.end(), -1 - SIGKILL);
  }
  ServerProcess server(STORIES + " --port " + std::to_string(port));
  CHECK_EQ(server.port(), port);
  CHECK_EQ(status_of(ask_port(port, COMPLETIONS, PROMPT)), 200);
}

// Behind the seal everything works that the tests above saw.
TEST(sealed) {
  const Said said = edgellm_says("eval " + STORIES + " --ids 1,2 --seal require");
  if (said.code != 0) SKIP("this system or build cannot be sealed");
  ServerProcess server(STORIES + " --seal require --log --slots 2");
  for (int i = 0; i < 3; i++) {
    CHECK_EQ(status_of(ask_port(server.port(), COMPLETIONS, PROMPT)), 200);
    CHECK(contains(server.next_line(), "\"status\":200"));
  }
  server.send_signal(SIGTERM);
  CHECK_EQ(server.end(), 0);
}
