# A thin front for CMake. MODE is release, debug, asan, tsan or fuzz; release is built in build/, the others in build/<mode>/.
MODE ?= release
BUILD ?= build$(if $(filter-out release,$(MODE)),/$(MODE))
PREFIX ?= /usr/local
DESTDIR ?=
JOBS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
MODEL ?= models/stories.tm2
PROMPT ?=
CONFIGURE ?=

.PHONY: all run test bench aarch64 test-aarch64 install format clean help tools tools-aarch64

all: tools
	@cmake -S . -B $(BUILD) -DMODE=$(MODE) -DCMAKE_INSTALL_PREFIX=$(PREFIX) $(CONFIGURE) >$(BUILD)/configure.log 2>&1 || { cat $(BUILD)/configure.log; exit 1; }
	@cmake --build $(BUILD) --parallel $(JOBS)

run: all  ## a story from the bundled model (MODEL=FILE PROMPT=TEXT)
	@$(BUILD)/edgellm $(MODEL) $(if $(PROMPT),-i "$(PROMPT)") -n 200

test: all  ## every test of this machine
	@cd $(BUILD) && ctest --output-on-failure --parallel $(JOBS)

bench: all  ## one table: kernels and models on this machine (MODEL=FILE for one model)
	@$(if $(filter command line,$(origin MODEL)),$(BUILD)/edgellm bench $(MODEL),tools/bench/table.sh $(BUILD))

aarch64: tools-aarch64  ## build/aarch64/edgellm, static, for 64-bit ARM Linux
	@cmake -S . -B build/aarch64 -DMODE=$(MODE) -DCMAKE_TOOLCHAIN_FILE=cmake/aarch64.cmake $(CONFIGURE) >build/aarch64/configure.log 2>&1 || { cat build/aarch64/configure.log; exit 1; }
	@cmake --build build/aarch64 --parallel $(JOBS)

test-aarch64: aarch64  ## the same tests under qemu
	@cd build/aarch64 && ctest --output-on-failure --parallel $(JOBS)

install: all  ## to $(DESTDIR)$(PREFIX)
	@DESTDIR=$(DESTDIR) cmake --install $(BUILD) --prefix $(PREFIX)

format:  ## clang-format over the tree
	@clang-format-19 -i $$(git ls-files '*.cpp' '*.h')

clean:  ## removes build/
	@rm -rf build

help:  ## this list
	@echo "make                builds $(BUILD)/edgellm (MODE=release|debug|asan|tsan|fuzz)"
	@sed -n 's/^\([a-z0-9-]*\):.*  ## \(.*\)/make \1 \2/p' Makefile | awk '{ name = $$2; $$1 = $$2 = ""; printf "make %-14s%s\n", name, $$0 }'

# One line that says what is missing and what to install.
tools:
	@mkdir -p $(BUILD) build/aarch64
	@command -v cmake >/dev/null || { echo "cmake is missing: apt-get install cmake (Debian), brew install cmake (macOS)"; exit 1; }
	@command -v $(CXX) >/dev/null || { echo "a C++ compiler is missing: apt-get install g++ (Debian), xcode-select --install (macOS)"; exit 1; }

tools-aarch64: tools
	@command -v aarch64-linux-gnu-g++ >/dev/null || { echo "the cross compiler is missing: apt-get install g++-aarch64-linux-gnu (Debian); on macOS build on the target or in a container"; exit 1; }
