// Zip: PKWARE's APPNOTE.TXT, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16. Pickle: Python's Lib/pickletools.py. What torch.save writes:
// torch/serialization.py (persistent ids) and torch/_utils.py (_rebuild_tensor_v2).
#include "convert/source/pth.h"

#include <algorithm>
#include <deque>

namespace edgellm::convert {
namespace {

constexpr u32 LOCAL = 0x04034b50, CENTRAL = 0x02014b50, END = 0x06054b50, END64 = 0x06064b50, LOCATOR64 = 0x07064b50;
constexpr u64 END_BYTES = 22, LOCATOR64_BYTES = 20;
constexpr u64 MAX_PICKLE = 64 << 20;    // names and shapes; the values are members of their own
constexpr size_t MAX_VALUES = 1 << 22;  // that a pickle makes: some forty for a tensor
constexpr size_t MAX_GLOBAL = 256;      // bytes of the name of a class or a function
constexpr size_t MAX_DIMS = 8;

class Archive {
 public:
  explicit Archive(const std::string& path) : file_(MappedFile::open(path)) {
    u64 end = find_end();
    u64 count = at<u16>(end + 10), directory = at<u32>(end + 16);
    if (end >= LOCATOR64_BYTES && at<u32>(end - LOCATOR64_BYTES) == LOCATOR64) {
      u64 end64 = at<u64>(end - LOCATOR64_BYTES + 8);
      if (at<u32>(end64) != END64) damaged("zip64 end record");
      count = at<u64>(end64 + 32), directory = at<u64>(end64 + 48);
    }
    for (u64 i = 0; i < count; i++)
      directory = add_member(directory);
    check_apart();
  }

  const File& file() const { return file_; }
  const std::map<std::string, Bytes>& members() const { return members_; }

 private:
  template <class T>
  T at(u64 offset) const {
    T value;
    std::memcpy(&value, slice(offset, sizeof value).data, sizeof value);
    return value;
  }
  Bytes slice(u64 offset, u64 size) const {
    Bytes all = file_->bytes();
    if (offset > all.size || size > all.size - offset) damaged("offset outside the file");
    return {all.data + offset, size};
  }
  [[noreturn]] void damaged(const char* what) const { unusable(file_->path, ": damaged zip archive: ", what); }

  u64 find_end() const {
    const u64 size = file_->bytes().size;
    for (u64 back = END_BYTES; back <= size && back <= END_BYTES + 0xffff; back++) {
      if (at<u32>(size - back) == END && at<u16>(size - back + 20) == back - END_BYTES) return size - back;
    }
    unusable(file_->path, ": a zip archive of ", size, " bytes without its end", WAS_CUT);
  }

  // Returns where the next entry of the directory begins.
  u64 add_member(u64 entry) {
    if (at<u32>(entry) != CENTRAL) damaged("directory entry");
    const u64 name_bytes = at<u16>(entry + 28), extra_bytes = at<u16>(entry + 30), comment_bytes = at<u16>(entry + 32);
    Bytes name = slice(entry + 46, name_bytes);
    u64 size = at<u32>(entry + 24), packed = at<u32>(entry + 20), local = at<u32>(entry + 42);
    u64 extra = entry + 46 + name_bytes, extra_end = extra + extra_bytes;
    while (extra + 4 <= extra_end) {
      u64 field = extra + 4;
      if (at<u16>(extra) == 1) {  // zip64: what did not fit, in this order
        for (u64* value : {&size, &packed, &local}) {
          if (*value == 0xffffffff) *value = at<u64>(field), field += 8;
        }
      }
      extra += 4 + u64{at<u16>(extra + 2)};
    }
    const std::string member = name.text();
    if (at<u16>(entry + 8) & 1) unusable(file_->path, ": member ", member, " is encrypted");
    if (at<u16>(entry + 10) != 0 || size != packed) unusable(file_->path, ": member ", member, " is compressed");
    if (at<u32>(local) != LOCAL) damaged("local header");
    u64 data = local + 30 + at<u16>(local + 26) + at<u16>(local + 28);
    if (!members_.emplace(member, slice(data, size)).second) {
      unusable(file_->path, ": member ", member, " is there twice");
    }
    return extra_end + comment_bytes;
  }

  // Members that share bytes would let a small file pass for a large model.
  void check_apart() const {
    std::vector<Bytes> sorted;
    for (const auto& member : members_)
      sorted.push_back(member.second);
    std::sort(sorted.begin(), sorted.end(), [](Bytes a, Bytes b) { return a.data < b.data; });
    for (size_t i = 1; i < sorted.size(); i++) {
      if (sorted[i - 1].data + sorted[i - 1].size > sorted[i].data) damaged("members overlap");
    }
  }

  File file_;
  std::map<std::string, Bytes> members_;
};

// A value on the stack of the pickle.
struct Value {
  enum class Kind { none, mark, number, text, list, global, storage, tensor };
  Kind kind = Kind::none;
  i64 number = 0;              // also a storage's number of values
  std::string text;            // of a global: "module name"
  Dtype dtype = Dtype::other;  // of a storage
  std::vector<Value*> list;    // also a dictionary: keys and values in turn; of a storage: its member
};
using Pointer = Value*;  // owned by the Pickle, so that no nesting is too deep to destroy

class Pickle {
 public:
  Pickle(const std::string& path, Bytes bytes) : path_(path), bytes_(bytes) {}

  // The value that is left when the program stops.
  Pointer run() {
    for (;;) {
      u8 code = read<u8>();
      if (code == '.') return pop();
      step(code);
    }
  }

 private:
  [[noreturn]] void damaged() const {
    unusable(path_, ": its pickle is damaged, or holds more than named tensors, at byte ", position_);
  }
  template <class T>
  T read() {
    T value;
    std::memcpy(&value, take(sizeof value), sizeof value);
    return value;
  }
  const u8* take(u64 size) {
    if (size > bytes_.size - position_) damaged();
    position_ += size;
    return bytes_.data + position_ - size;
  }
  std::string read_text(u64 size) { return Bytes{take(size), size}.text(); }
  std::string read_line() {
    std::string line;
    for (char c; (c = static_cast<char>(read<u8>())) != '\n';)
      line += c;
    return line;
  }

  Pointer make(Value::Kind kind) {
    if (values_.size() == MAX_VALUES) unusable(path_, ": its pickle makes more than ", MAX_VALUES, " values");
    values_.emplace_back();
    values_.back().kind = kind;
    return &values_.back();
  }
  void push(Pointer value) { stack_.push_back(value); }
  void push_number(i64 number) {
    push(make(Value::Kind::number));
    stack_.back()->number = number;
  }
  void push_text(std::string characters) {
    push(make(Value::Kind::text));
    stack_.back()->text = std::move(characters);
  }
  Pointer pop() {
    if (stack_.empty()) damaged();
    Pointer top = stack_.back();
    stack_.pop_back();
    return top;
  }
  // What lies above the last mark, which is taken too.
  std::vector<Pointer> pop_to_mark() {
    auto mark = std::find_if(stack_.rbegin(), stack_.rend(), [](Pointer v) { return v->kind == Value::Kind::mark; });
    if (mark == stack_.rend()) damaged();
    std::vector<Pointer> values(mark.base(), stack_.end());
    stack_.erase(mark.base() - 1, stack_.end());
    return values;
  }
  std::vector<Pointer> pop_last(size_t count) {
    if (stack_.size() < count) damaged();
    std::vector<Pointer> values(stack_.end() - static_cast<i64>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return values;
  }
  void push_list(std::vector<Pointer> values) {
    push(make(Value::Kind::list));
    stack_.back()->list = std::move(values);
  }
  void extend_top(const std::vector<Pointer>& values) {
    if (stack_.empty() || stack_.back()->kind != Value::Kind::list) damaged();
    stack_.back()->list.insert(stack_.back()->list.end(), values.begin(), values.end());
  }
  void recall(size_t index) {
    if (index >= memo_.size() || !memo_[index]) damaged();
    push(memo_[index]);
  }
  void remember(size_t index) {
    if (stack_.empty() || index > bytes_.size) damaged();
    if (index >= memo_.size()) memo_.resize(index + 1);
    memo_[index] = stack_.back();
  }

  // ("storage", class, member, device, number of values)
  void persistent() {
    Pointer id = pop();
    static constexpr struct {
      const char* name;
      Dtype dtype;
    } CLASSES[] = {{"torch FloatStorage", Dtype::F32},
                   {"torch HalfStorage", Dtype::F16},
                   {"torch BFloat16Storage", Dtype::BF16},
                   {"torch ByteStorage", Dtype::U8},
                   {"torch CharStorage", Dtype::I8}};
    if (id->kind != Value::Kind::list || id->list.size() != 5) damaged();
    Pointer storage = make(Value::Kind::storage);
    for (const auto& known : CLASSES) {
      if (id->list[1]->text == known.name) storage->dtype = known.dtype;
    }
    storage->list = {id->list[2]};
    storage->number = id->list[4]->number;
    push(storage);
  }

  // Calls: of the function that makes a tensor, and of OrderedDict.
  void reduce() {
    Pointer arguments = pop(), function = pop();
    if (function->kind != Value::Kind::global || arguments->kind != Value::Kind::list) damaged();
    if (function->text == "collections OrderedDict") {
      push(make(Value::Kind::list));
    } else if (function->text == "torch._utils _rebuild_tensor_v2" && arguments->list.size() >= 4) {
      push(make(Value::Kind::tensor));
      stack_.back()->list.assign(arguments->list.begin(), arguments->list.begin() + 4);
    } else if (function->text == "torch._utils _rebuild_parameter" && !arguments->list.empty()) {
      push(arguments->list[0]);
    } else {
      damaged();
    }
  }

  void step(u8 code) {
    switch (code) {
      case 0x80:  // PROTO
        take(1);
        break;
      case 0x95:  // FRAME
        take(8);
        break;
      case '(':
        push(make(Value::Kind::mark));
        break;
      case '}':
      case ']':
      case ')':
        push(make(Value::Kind::list));
        break;
      case 'N':
        push(make(Value::Kind::none));
        break;
      case 0x88:  // NEWTRUE, NEWFALSE
      case 0x89:
        push_number(code == 0x88);
        break;
      case 'K':
        push_number(read<u8>());
        break;
      case 'M':
        push_number(read<u16>());
        break;
      case 'J':
        push_number(read<i32>());
        break;
      case 0x8a: {  // LONG1
        u8 size = read<u8>();
        i64 number = 0;
        if (size > 8) damaged();
        std::memcpy(&number, take(size), size);
        push_number(number);
        break;
      }
      case 'G':
        take(8);
        push(make(Value::Kind::none));
        break;
      case 'X':
        push_text(read_text(read<u32>()));
        break;
      case 0x8c:  // SHORT_BINUNICODE
        push_text(read_text(read<u8>()));
        break;
      case 'c': {
        std::string module = read_line(), name = read_line();
        push_text(module + " " + name);
        stack_.back()->kind = Value::Kind::global;
        break;
      }
      case 0x93: {  // STACK_GLOBAL
        std::vector<Pointer> parts = pop_last(2);
        for (Pointer part : parts) {
          if (part->kind != Value::Kind::text || part->text.size() > MAX_GLOBAL) damaged();
        }
        push_text(parts[0]->text + " " + parts[1]->text);
        stack_.back()->kind = Value::Kind::global;
        break;
      }
      case 'q':
        remember(read<u8>());
        break;
      case 'r':
        remember(read<u32>());
        break;
      case 0x94:  // MEMOIZE
        remember(memo_.size());
        break;
      case 'h':
        recall(read<u8>());
        break;
      case 'j':
        recall(read<u32>());
        break;
      case 't':
        push_list(pop_to_mark());
        break;
      case 0x85:  // TUPLE1 to TUPLE3
      case 0x86:
      case 0x87:
        push_list(pop_last(static_cast<size_t>(code - 0x84)));
        break;
      case 'Q':
        persistent();
        break;
      case 'R':
        reduce();
        break;
      case 's':
        extend_top(pop_last(2));
        break;
      case 'a':
        extend_top(pop_last(1));
        break;
      case 'u':
      case 'e':
        extend_top(pop_to_mark());
        break;
      case 'b':  // attributes of a dictionary: of no use
        pop();
        break;
      default:
        damaged();
    }
  }

  const std::string& path_;
  Bytes bytes_;
  u64 position_ = 0;
  std::deque<Value> values_;
  std::vector<Pointer> stack_, memo_;
};

const char* dtype_name(Dtype dtype) {
  switch (dtype) {
    case Dtype::F32:
      return "F32";
    case Dtype::F16:
      return "F16";
    case Dtype::BF16:
      return "BF16";
    case Dtype::U8:
      return "U8";
    case Dtype::I8:
      return "I8";
    case Dtype::other:
      break;
  }
  return "another type";
}

// storage, offset, sizes, strides
StoredTensor stored(const Archive& archive, const std::string& folder, const std::string& name, const Value& tensor) {
  const std::string where = text(archive.file()->path, ": tensor ", name);
  const Value &storage = *tensor.list[0], &sizes = *tensor.list[2], &strides = *tensor.list[3];
  if (storage.kind != Value::Kind::storage) unusable(where, " has no storage");
  auto member = archive.members().find(folder + "data/" + storage.list[0]->text);
  if (member == archive.members().end()) unusable(where, " has no storage");
  StoredTensor out{"", storage.dtype, dtype_name(storage.dtype), {}, archive.file(), {}};
  if (sizes.list.size() != strides.list.size()) unusable(where, " has ", sizes.list.size(), " sizes and other strides");
  if (sizes.list.size() > MAX_DIMS) unusable(where, " has ", sizes.list.size(), " dimensions, at most ", MAX_DIMS);
  u64 count = 1;
  for (size_t i = sizes.list.size(); i-- > 0;) {
    i64 size = sizes.list[i]->number, stride = strides.list[i]->number;
    if (size < 0) unusable(where, " has a dimension of ", size);
    if (size > 1 && static_cast<u64>(stride) != count) unusable(where, " is not in row-major order");
    if (__builtin_mul_overflow(count, static_cast<u64>(size), &count)) unusable(where, ": its shape overflows");
    out.shape.insert(out.shape.begin(), static_cast<u64>(size));
  }
  if (out.dtype == Dtype::other) return out;
  const u64 width = static_cast<u64>(dtype_bytes(out.dtype));
  const u64 values = member->second.size / width, offset = static_cast<u64>(tensor.list[1]->number);
  if (offset > values || count > values - offset) unusable(where, " reaches past the ", values, " values of its storage");
  out.data = {member->second.data + offset * width, count * width};
  return out;
}

}  // namespace

bool is_zip(Bytes head) {
  u32 magic = 0;
  if (head.size >= sizeof magic) std::memcpy(&magic, head.data, sizeof magic);
  return magic == LOCAL;
}

StoredTensors read_pth(const std::string& path) {
  if (const File file = MappedFile::open(path); !is_zip(file->bytes())) {
    const Foreign found = identify(file->bytes());
    unusable(path, ": ", found.what ? text(found.what, ", expected a") : "no",
             " zip archive, as torch.save has written them since version 1.6");
  }
  const Archive archive(path);
  const std::string pickle = "data.pkl";
  auto found = std::find_if(archive.members().begin(), archive.members().end(),
                            [&](const auto& member) { return member.first.ends_with(pickle); });
  if (found == archive.members().end()) unusable(path, ": there is no data.pkl in this archive");
  if (found->second.size > MAX_PICKLE) {
    unusable(path, ": its pickle has ", found->second.size, " bytes, at most ", MAX_PICKLE);
  }
  const std::string folder = found->first.substr(0, found->first.size() - pickle.size());
  auto order = archive.members().find(folder + "byteorder");
  if (order != archive.members().end() && order->second.size == 3) unusable(path, ": its values are big endian");
  Pickle program(path, found->second);
  Pointer root = program.run();
  if (root->kind != Value::Kind::list || root->list.size() % 2 != 0) unusable(path, ": its pickle is no dictionary");
  StoredTensors tensors;
  for (size_t i = 0; i < root->list.size(); i += 2) {
    const Value &key = *root->list[i], &value = *root->list[i + 1];
    if (key.kind != Value::Kind::text || value.kind != Value::Kind::tensor) {
      unusable(path, ": entry ", i / 2, " of its dictionary is no named tensor");
    }
    add(&tensors, key.text, stored(archive, folder, key.text, value));
  }
  return tensors;
}

}  // namespace edgellm::convert
