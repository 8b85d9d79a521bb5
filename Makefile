# A thin front for CMake. MODE is release, debug, asan, tsan or fuzz; release is built in build/, the others in build/<mode>/.
MODE ?= release
BUILD ?= build$(if $(filter-out release,$(MODE)),/$(MODE))
PREFIX ?= /usr/local
DESTDIR ?=
JOBS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
MODEL ?= models/stories.tm2
PROMPT ?=
CONFIGURE ?=

.PHONY: all run test bench aarch64 test-aarch64 musl test-musl armv7 test-armv7 armv6 test-armv6 install format clean help tools

all: tools
	@cmake -S . -B $(BUILD) -DMODE=$(MODE) -DCMAKE_INSTALL_PREFIX=$(PREFIX) $(CONFIGURE) >$(BUILD)/configure.log 2>&1 || { cat $(BUILD)/configure.log; exit 1; }
	@cmake --build $(BUILD) --parallel $(JOBS)

run: all  ## a story from the bundled model (MODEL=FILE PROMPT=TEXT)
	@$(BUILD)/edgellm $(MODEL) $(if $(PROMPT),-i "$(PROMPT)") -n 200

test: all  ## every test of this machine
	@cd $(BUILD) && ctest --output-on-failure --parallel $(JOBS)

bench: all  ## one table: kernels and models on this machine (MODEL=FILE for one model)
	@$(if $(filter command line,$(origin MODEL)),$(BUILD)/edgellm bench $(MODEL),tools/bench/table.sh $(BUILD))

aarch64: CROSS = aarch64-linux-gnu-g++
aarch64: PACKAGE = g++-aarch64-linux-gnu
aarch64: cross-aarch64  ## build/aarch64/edgellm, static, for 64-bit ARM Linux

armv7: CROSS = arm-linux-gnueabihf-g++
armv7: PACKAGE = g++-arm-linux-gnueabihf
armv7: cross-armv7  ## build/armv7/edgellm and edgellm-convert, static, for 32-bit ARM Linux from ARMv7 on (Raspberry Pi 2)

armv6: CROSS = arm-linux-gnueabi-g++
armv6: PACKAGE = g++-arm-linux-gnueabi
armv6: cross-armv6  ## build/armv6/edgellm, static, for ARMv6 (Raspberry Pi 1 and Zero)

musl: CROSS = musl-gcc
musl: PACKAGE = musl-tools
musl: all cross-musl  ## build/musl/edgellm, the smallest, for x86-64 Linux

cross-%: tools
	@command -v $(CROSS) >/dev/null || { echo "$(CROSS) is missing: apt-get install $(PACKAGE) (Debian); on another system build in a container"; exit 1; }
	@mkdir -p build/$*
	@cmake -S . -B build/$* -DMODE=$(MODE) -DCMAKE_TOOLCHAIN_FILE=cmake/$*.cmake $(CONFIGURE) >build/$*/configure.log 2>&1 || { cat build/$*/configure.log; exit 1; }
	@cmake --build build/$* --parallel $(JOBS)

test-aarch64 test-armv7 test-armv6 test-musl: test-%: %  ## the same tests: of ARM under qemu
	@cd build/$* && ctest --output-on-failure --parallel $(JOBS)

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
	@mkdir -p $(BUILD)
	@command -v cmake >/dev/null || { echo "cmake is missing: apt-get install cmake (Debian), brew install cmake (macOS)"; exit 1; }
	@command -v $(CXX) >/dev/null || { echo "a C++ compiler is missing: apt-get install g++ (Debian), xcode-select --install (macOS)"; exit 1; }
