// What the converter's readers stand on: JSON and its fields, protocol buffers, files and cursors, work on all cores.
#include <atomic>
#include <cmath>
#include <mutex>

#include "check.h"
#include "convert/base/fields.h"
#include "convert/base/mapped_file.h"
#include "convert/base/model.h"
#include "convert/base/parallel.h"
#include "convert/base/protobuf.h"
#include "convert_sources.h"
#include "refused.h"

using namespace edgellm;
using check::said;
using convert::Fields;
using convert::Json;
using convert::parse_json;

namespace {

std::string json(const std::string& text) {
  return said([&] { return sources::written(parse_json(text, "x")); });
}

TEST(documents) {
  const std::pair<std::string, std::string> rows[] = {
      {" \t\r\n[ 1 , 2 ] \n", "[1,2]"},
      {"\xEF\xBB\xBF[]", "[]"},
      {"{}", "{}"},
      {"{ \"a\" : { \"b\" : [ ] } , \"c\" : null }", "{\"a\":{\"b\":[]},\"c\":null}"},
      {"{\"a\":1,\"a\":2}", "{\"a\":1,\"a\":2}"},
      {"true", "true"},
      {"false", "false"},
      {"null", "null"},
      {"0", "0"},
      {"-0", "-0"},
      {"-12.5e1", "-125"},
      {"1E+2", "100"},
      {"1e-2", "0.01"},
      {"9007199254740993", "9007199254740992"},
      {"0.1", "0.10000000000000001"},
      {"NaN", "nan"},
      {"[Infinity,-Infinity]", "[inf,-inf]"},
      {"\"\"", "\"\""},
      {R"("\"\\\/\b\f\n\r\t")", R"("\u0022\u005c/\u0008\u000c\u000a\u000d\u0009")"},
      {R"("\u0041\u007f\u0080\u00e9\u07FF")", "\"A\x7f\xc2\x80\xc3\xa9\xdf\xbf\""},
      {R"("\u0800\u20ac\uffff")", "\"\xe0\xa0\x80\xe2\x82\xac\xef\xbf\xbf\""},
      {R"("\ud800\udc00\uD83D\uDC4D\udbff\udfff")", "\"\xf0\x90\x80\x80\xf0\x9f\x91\x8d\xf4\x8f\xbf\xbf\""},
      {R"("\ud800")", "\"\xef\xbf\xbd\""},
      {R"("\udc00x")", "\"\xef\xbf\xbdx\""},
      {R"("\udfff")", "\"\xef\xbf\xbd\""},
      {R"("\ue000\ud7ff")", "\"\xee\x80\x80\xed\x9f\xbf\""},
      {R"("\ud800\u0041")",
       "\"\xef\xbf\xbd"
       "A\""},
      {R"("\ud800\ud800\udc00")", "\"\xef\xbf\xbd\xf0\x90\x80\x80\""},
      {R"("\ud800\n")", "\"\xef\xbf\xbd\\u000a\""},
      {"\"\x7f\xc3\xa9\"", "\"\x7f\xc3\xa9\""},
  };
  for (const auto& [text, expected] : rows)
    CHECK_EQ(text + " -> " + json(text), text + " -> " + expected);
  auto nested = [](size_t n) { return std::string(n, '[') + std::string(n, ']'); };
  CHECK_EQ(json(nested(129)), nested(129));
  CHECK_EQ(json(nested(130)), "refused: x: not JSON: line 1, column 130: nested too deeply");
  auto objects = [](size_t n) {
    std::string out;
    for (size_t i = 0; i < n; i++)
      out += "{\"a\":";
    return out + "1" + std::string(n, '}');
  };
  CHECK_EQ(json(objects(128)), objects(128));
  CHECK_EQ(json(objects(129)), "refused: x: not JSON: line 1, column 646: nested too deeply");
}

#define CUT ", where it ends: it was cut, or never finished"

TEST(what_is_no_json) {
  const std::pair<std::string, const char*> rows[] = {
      {"", "line 1, column 1: expected a value" CUT},
      {"\n\n  ", "line 3, column 3: expected a value" CUT},
      {"{\n\"a\": x}", "line 2, column 6: expected a value"},
      {"[1] 2", "line 1, column 5: text after the end of the document"},
      {"[1\n2]", "line 2, column 1: expected ',' or ']'"},
      {"[1,]", "line 1, column 4: expected a value"},
      {"[,1]", "line 1, column 2: expected a value"},
      {"[1", "line 1, column 3: expected ',' or ']'" CUT},
      {"[", "line 1, column 2: expected a value" CUT},
      {"{", "line 1, column 2: expected the name of a member" CUT},
      {"{1:2}", "line 1, column 2: expected the name of a member"},
      {"{\"a\"}", "line 1, column 5: expected ':'"},
      {"{\"a\":1 \"b\"}", "line 1, column 8: expected ',' or '}'"},
      {"{\"a\":1,}", "line 1, column 8: expected the name of a member"},
      {"tru", "line 1, column 1: expected a value"},
      {"falsy", "line 1, column 1: expected a value"},
      {"nil", "line 1, column 1: expected a value"},
      {"Nan", "line 1, column 1: expected a value"},
      {"Inf", "line 1, column 1: expected a value"},
      {"-Inf", "line 1, column 1: expected a value"},
      {"inf", "line 1, column 1: expected a value"},
      {"+1", "line 1, column 1: expected a value"},
      {".5", "line 1, column 1: expected a value"},
      {"-", "line 1, column 1: a number that cannot be read"},
      {"-x", "line 1, column 1: a number that cannot be read"},
      {"01", "line 1, column 1: a number that cannot be read"},
      {"-012", "line 1, column 1: a number that cannot be read"},
      {"1e999", "line 1, column 1: a number that cannot be read"},
      {"1x", "line 1, column 2: text after the end of the document"},
      {"0x1", "line 1, column 2: text after the end of the document"},
      {"\"a", "line 1, column 3: a string without an end" CUT},
      {"\"a\\", "line 1, column 4: a string without an end" CUT},
      {"\"a\nb\"", "line 1, column 3: a control character in a string"},
      {"\"\x1f\"", "line 1, column 2: a control character in a string"},
      {"\"\\x41\"", "line 1, column 4: an unknown escape in a string"},
      {"\"\\u12\"", "line 1, column 4: a cut \\u escape"},
      {"\"\\u12\"  ", "line 1, column 4: a \\u escape without four hexadecimal digits"},
      {"\"\\u+123\"", "line 1, column 4: a \\u escape without four hexadecimal digits"},
      {"\"\\ud800\\u12\"", "line 1, column 10: a cut \\u escape"},
  };
  for (const auto& [text, expected] : rows)
    CHECK_EQ(text + " -> " + json(text), text + " -> refused: x: not JSON: " + expected);
  CHECK_EQ(json(std::string("[1]\0", 4)), "refused: x: not JSON: line 1, column 4: text after the end of the document");
}

TEST(fields_of_an_object) {
  const Json json = parse_json(
      R"({"n":1.5,"i":-3,"big":9007199254740992,"bigger":9007199254740994,"s":"x","t":true,"z":null,"o":{"p":{"q":[]}},
          "twice":1,"twice":2,"ids":[1,[2,-1],1],"id":7,"bad":[1,"x"],"top":2147483647,"over":2147483648,"less":-2})",
      "c.json");
  const Fields f(json, "c.json");
  auto show = [](const auto& value) { return value ? convert::text(*value) : std::string("none"); };
  CHECK_EQ(show(f.number("n")) + show(f.number("z")) + show(f.number("absent")) + show(f.number("twice")), "1.5nonenone2");
  CHECK_EQ(said([&] { return show(f.number("s")); }), "refused: c.json: \"s\" is not a number");
  CHECK_EQ(show(f.integer("i")) + show(f.integer("z")), "-3none");
  CHECK_EQ(show(f.integer("big")), "9007199254740992");
  for (const char* key : {"n", "bigger", "s", "t"})
    CHECK_EQ(said([&] { return show(f.integer(key)); }),
             convert::text("refused: c.json: \"", key, "\" is not a whole number"));
  CHECK_EQ(f.required("i"), -3);
  CHECK_EQ(said([&] { return convert::text(f.required("z")); }), "refused: c.json: \"z\" is missing");
  CHECK_EQ(f.string("s") + f.string("z"), "x");
  CHECK_EQ(said([&] { return f.string("t"); }), "refused: c.json: \"t\" is not a text");
  CHECK_EQ(show(f.flag("t")) + show(f.flag("z")), "1none");
  CHECK_EQ(said([&] { return show(f.flag("i")); }), "refused: c.json: \"i\" is not true or false");
  CHECK_EQ(f.object("o")->object("p")->where(), "c.json: o: p");
  CHECK(!f.object("z") && f.find("n") && !f.find("z"));
  CHECK_EQ(said([&] { return f.object("s")->where(); }), "refused: c.json: \"s\" is not an object");
  std::vector<u32> ids = {5};
  f.add_ids("ids", &ids), f.add_ids("id", &ids), f.add_ids("id", &ids), f.add_ids("z", &ids), f.add_ids("top", &ids);
  CHECK(ids == (std::vector<u32>{5, 1, 2, 7, 2147483647}));
  for (const char* key : {"bad", "over", "less", "n", "t"})
    CHECK_EQ(said([&] { return f.add_ids(key, &ids), ""; }),
             convert::text("refused: c.json: ", key, " is not a token id or a list of them"));
  auto whole = [&](const char* number, i64 least, i64 most) { return show(parse_json(number, "x").whole(least, most)); };
  CHECK_EQ(whole("3", 3, 4) + whole("4", 3, 4) + whole("2", 3, 4) + whole("5", 3, 4) + whole("3.5", 3, 4), "34nonenonenone");
  CHECK_EQ(whole("NaN", 0, 9) + whole("Infinity", 0, 9) + whole("\"3\"", 0, 9), "nonenonenone");
  CHECK(!parse_json("[]", "x").find("a") && parse_json("null", "x").is_null() && !parse_json("0", "x").is_null());
}

TEST(protocol_buffers) {
  using namespace std::string_literals;
  auto fields = [](const std::string& bytes) {
    return said([&] {
      const std::string source = "p";
      convert::ProtobufReader reader(bytes, source);
      convert::ProtobufField field;
      std::string out;
      while (reader.next(&field)) {
        out += convert::text(field.number, "/", field.type, "=", field.value, "'", field.bytes, "' ");
        if (field.type == 5) out += convert::text(field.number_f32(), " ");
      }
      return out;
    });
  };
  CHECK_EQ(fields(""), "");
  CHECK_EQ(fields("\x08\x96\x01"), "1/0=150'' ");
  CHECK_EQ(fields("\x12\x03"
                  "abc\x18\x7f"),
           "2/2=0'abc' 3/0=127'' ");
  CHECK_EQ(fields("\x12\0"s + "\x25\0\0\xc0\x3f"s), "2/2=0'' 4/5=1069547520'' 1.5 ");
  CHECK_EQ(fields("\x29\1\0\0\0\0\0\0\x80"s), "5/1=9223372036854775809'' ");
  CHECK_EQ(fields("\x88\x7d\x05"s), "2001/0=5'' ");
  CHECK_EQ(fields("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "1/0=18446744073709551615'' ");
  CHECK_EQ(fields("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
           "refused: p: not a protocol buffer: a number without an end at byte 11");
  CHECK_EQ(fields("\x08\x80"), "refused: p: cut: a field of 1 bytes at byte 2 of 2");
  CHECK_EQ(fields("\x12\x04"
                  "abc"),
           "refused: p: cut: a field of 4 bytes at byte 2 of 5");
  CHECK_EQ(fields("\x25\0\0\0"s), "refused: p: cut: a field of 4 bytes at byte 1 of 4");
  CHECK_EQ(fields("\x29\0\0\0\0\0\0\0"s), "refused: p: cut: a field of 8 bytes at byte 1 of 8");
  for (u32 type : {3u, 4u, 6u, 7u})
    CHECK_EQ(fields(std::string(1, static_cast<char>(8 | type)) + "xx"),
             convert::text("refused: p: not a protocol buffer: field type ", type, " at byte 1"));
}

TEST(files_and_cursors) {
  Folder folder;
  write_file(folder / "a", "\1\2\3\4\5\6");
  write_file(folder / "empty", "");
  convert::Cursor from(convert::MappedFile::open(folder / "a"));
  CHECK_EQ(from.read<u16>("x"), 0x201);
  CHECK_EQ(from.position() * 10 + from.left(), 24u);
  CHECK_EQ(said([&] { return from.take(5, "y").text(); }),
           "refused: " + (folder / "a") + ": y needs 5 bytes at offset 2, only 4 are left: it was cut: download it again");
  CHECK_EQ(from.take(4, "y").text(), "\3\4\5\6");
  CHECK_EQ(from.take(0, "y").text(), "");
  CHECK_EQ(said([&] { return convert::text(from.read<u8>("z")); }),
           "refused: " + (folder / "a") + ": z needs 1 bytes at offset 6, only 0 are left: it was cut: download it again");
  CHECK_EQ(convert::MappedFile::open(folder / "empty")->bytes().size, 0u);
  auto open = [&](const std::string& path) {
    return said([&] { return convert::MappedFile::open(path)->path; }, Code::failed);
  };
  CHECK_EQ(open(folder / "a"), folder / "a");
  CHECK(open(folder / "none").ends_with("none: No such file or directory"));
  CHECK_EQ(open(folder.path).find("not a regular file") != std::string::npos, true);
  CHECK_EQ(convert::opened_as(folder / "a").value_or("-"), folder / "a");
  convert::forget_opened();
  CHECK_EQ(convert::opened_as(folder / "a").value_or("-"), "-");
  CHECK_EQ(convert::opened_as(folder / "none").value_or("-"), "-");
  CHECK(convert::file_exists(folder / "a") && !convert::file_exists(folder.path) && !convert::file_exists(folder / "none"));
  CHECK(convert::is_folder(folder.path) && !convert::is_folder(folder / "a") && !convert::is_folder(folder / "none"));
  CHECK_EQ(convert::file_name("a/b") + convert::file_name("c/d/") + convert::file_name("e"), "bde");
  CHECK_EQ(convert::folder_of("a/b/c") + convert::folder_of("d") + convert::folder_of("/e"), "a/b./");
}

TEST(what_a_model_file_does_not_hold) {
  auto size = [](i64 value) { return said([&] { return convert::check_size("n", value, 4, "s"), "held"; }); };
  CHECK_EQ(size(1) + size(4), "heldheld");
  CHECK_EQ(size(0), "refused: s: n is 0, expected 1 to 4");
  CHECK_EQ(size(5), "refused: s: n is 5, expected 1 to 4");
  auto epsilon = [](f64 value) { return said([&] { return convert::check_epsilon("e", value, "s"), "held"; }); };
  CHECK_EQ(epsilon(0) + epsilon(1) + epsilon(1e-38), "heldheldheld");
  CHECK_EQ(epsilon(1.0001), "refused: s: e is 1.0001, expected 0 to 1");
  CHECK_EQ(epsilon(-1e-9), "refused: s: e is -1e-09, expected 0 to 1");
  CHECK_EQ(epsilon(NAN), "refused: s: e is nan, expected 0 to 1");
  CHECK_EQ(epsilon(1e-60), "refused: s: e is 1e-60, which is 0 as an f32");
  CHECK_EQ(convert::shape_text({}) + convert::shape_text({3}) + convert::shape_text({3, 4, 5}), "()33 x 4 x 5");
  CHECK_EQ(convert::list_text({}) + convert::list_text({"a"}) + convert::list_text({"a", "b", "c"}), "aa, b, c");
}

TEST(tensors_give_any_rows) {
  Folder folder;
  const sources::Values values = {1, -2, 3, 0.5f, 0, 8};
  for (const char* name : {"F32", "F16", "BF16"}) {
    const convert::Dtype dtype = *name == 'B'     ? convert::Dtype::BF16
                                 : name[1] == '3' ? convert::Dtype::F32
                                                  : convert::Dtype::F16;
    write_file(folder / "x", sources::bytes_as(name, values));
    const convert::File file = convert::MappedFile::open(folder / "x");
    const convert::FloatTensor tensor("t", convert::Role::matrix, 3, 2, file, file->bytes(), dtype, -2);
    sources::Values out(2);
    tensor.values(1, 1, out.data());
    CHECK(out == (sources::Values{-6, -1}));
    CHECK_EQ(said([&] {
               convert::FloatTensor("t", convert::Role::matrix, 2, 2, file, file->bytes(), dtype);
               return "";
             }),
             convert::text("refused: ", folder / "x", ": tensor t has ", file->bytes().size, " bytes, 2 x 2 values need ",
                           4 * convert::dtype_bytes(dtype)));
    CHECK_EQ(said([&] {
               convert::FloatTensor("t", convert::Role::matrix, 3, 2, file, file->bytes(), convert::Dtype::U8);
               return "";
             }),
             "refused: " + (folder / "x") + ": tensor t is not f32, f16 or bf16");
  }
  const convert::ComputedTensor computed("t", convert::Role::matrix, 3, 2, values);
  sources::Values out(4);
  computed.values(1, 2, out.data());
  CHECK(out == (sources::Values{3, 0.5f, 0, 8}));
  CHECK_EQ(convert::dtype_bytes(convert::Dtype::other), 0);
  CHECK_EQ(convert::dtype_bytes(convert::Dtype::I8), 1);
}

TEST(work_on_all_cores) {
  for (bool heavy : {false, true}) {
    for (i64 count : {0, 1, 2, 1000}) {
      std::vector<std::atomic<int>> calls(static_cast<size_t>(count));
      convert::parallel(count, heavy, [&](i64 i) { calls[static_cast<size_t>(i)]++; });
      i64 once = 0;
      for (const auto& n : calls)
        once += n == 1;
      CHECK_EQ(once, count);
    }
    std::atomic<int> ran{0};
    const std::string first = said([&] {
      convert::parallel(100, heavy, [&](i64 i) {
        ran++;
        if (i % 7 == 3) convert::unusable("body ", i);
      });
      return "";
    });
    CHECK_EQ(first, "refused: body 3");
    CHECK_EQ(ran.load(), 100);
  }
}

}  // namespace
