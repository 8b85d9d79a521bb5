// The load generator against a server: texts that are made in company, streamed or not, are the texts that are made alone, and what is
// not as it should be is an error. EDGELLM_BUILD is the folder of the generator.
#include "files.h"
#include "program.h"
#include "server_process.h"

namespace {

Said load(int port, const std::string& words) {
  const char* emulator = std::getenv("EDGELLM_EMULATOR");
  return shell(std::string(emulator ? emulator : "") + " " + std::getenv("EDGELLM_BUILD") +
               "/edgellm-load http://127.0.0.1:" + std::to_string(port) + words + " --max-tokens 4-12 --json");
}

long count(const Said& said, const std::string& key) {
  const size_t at = said.out.find("\"" + key + "\":");
  return at == std::string::npos ? -1 : std::atol(said.out.c_str() + at + key.size() + 3);
}

}  // namespace

TEST(texts_in_company) {
  ServerProcess server("models/stories.tm2 --threads 1 --slots 5 --queue 200");
  for (const char* words : {"/v1/completions --stream", "/v1/completions --temperature 0", "/v1/chat/completions --stream",
                            "/v1/edge/completions"}) {
    const Said said = load(server.port(), std::string(words) + " --connections 30 --in-flight 20 --kinds 16 --seconds 0.3");
    CHECK_EQ(said.code, 0);
    CHECK_EQ(count(said, "failed"), 0);
    CHECK(count(said, "whole") > 0);
    CHECK_EQ(count(said, "whole"), count(said, "offered"));
  }
}

TEST(a_full_queue) {
  ServerProcess server("models/stories.tm2 --threads 1 --slots 1 --queue 0");
  const Said said = load(server.port(), "/v1/completions --connections 30 --in-flight 20 --kinds 16 --seconds 0.3");
  CHECK_EQ(said.code, 0);
  CHECK(count(said, "whole") > 0 && count(said, "busy") > 0);
  CHECK_EQ(count(said, "whole") + count(said, "busy") + count(said, "unavailable"), count(said, "offered"));
}

TEST(what_is_wrong) {
  ServerProcess server("models/stories.tm2 --threads 1");
  const Said absent = load(server.port(), "/nothing --no-alone --seconds 0.2");
  CHECK_EQ(absent.code, 1);
  CHECK_EQ(count(absent, "failed"), count(absent, "offered"));
  CHECK(contains(absent.out, "status 404: "));
  const int port = server.port();
  server.send_signal(SIGKILL);
  CHECK_EQ(server.end(), -1 - SIGKILL);
  const Said nobody = load(port, "/v1/completions");
  CHECK_EQ(nobody.code, 1);
  CHECK(contains(nobody.err, "edgellm-load: no connection to 127.0.0.1 port "));
  CHECK_EQ(load(port, "/v1/completions --in-flight 5 --rate 5").code, 2);
}
