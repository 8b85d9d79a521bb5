# A thin front for CMake. MODE is release, debug, asan, tsan or fuzz; release is built in build/, the others in build/<mode>/.
MODE ?= release
BUILD ?= build$(if $(filter-out release,$(MODE)),/$(MODE))
PREFIX ?= /usr/local
DESTDIR ?=
JOBS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
MODEL ?= models/stories.tm2
PROMPT ?=
CONFIGURE ?=
ifeq ($(origin CXX),default)  # make's own is g++
CXX = c++
endif

.PHONY: all run test bench load aarch64 test-aarch64 musl test-musl armv7 test-armv7 armv6 test-armv6 install format clean help \
  converter tools

# $(call build,TARGETS) for this machine; $(call cross,TARGETS), in a rule with a stem, for another.
build = @cmake/build.sh $(BUILD) "$(1)" $(JOBS) -DMODE=$(MODE) -DCMAKE_INSTALL_PREFIX=$(PREFIX) $(CONFIGURE)
cross = @cmake/build.sh build/$* "$(1)" $(JOBS) -DMODE=$(MODE) -DCMAKE_TOOLCHAIN_FILE=cmake/$*.cmake $(CONFIGURE)

all: tools
	$(call build,all)

run: tools  ## a story from the bundled model (MODEL=FILE PROMPT=TEXT)
	$(call build,edgellm)
	@$(BUILD)/edgellm $(MODEL) $(if $(PROMPT),-i "$(PROMPT)",--no-stdin) -n 200

test: tools  ## every test of this machine
	$(call build,tests)
	@tests/run.sh $(BUILD) --parallel $(JOBS)

bench: tools  ## one table: kernels and models on this machine (MODEL=FILE for one model)
	$(call build,edgellm edgellm-convert kernel_checker)
	@$(if $(filter command line,$(origin MODEL)),$(BUILD)/edgellm bench $(MODEL),tools/bench/table.sh $(BUILD))

load: tools  ## build/edgellm-load, which drives a server: see tools/load/measure.py
	$(call build,edgellm edgellm-load)

aarch64: CROSS = aarch64-linux-gnu-g++
aarch64: PACKAGE = g++-aarch64-linux-gnu
aarch64: cross-aarch64  ## build/aarch64/edgellm and edgellm-convert, static, for 64-bit ARM Linux

armv7: CROSS = arm-linux-gnueabihf-g++
armv7: PACKAGE = g++-arm-linux-gnueabihf
armv7: cross-armv7  ## build/armv7/edgellm and edgellm-convert, static, for 32-bit ARM Linux from ARMv7 on (Raspberry Pi 2)

armv6: CROSS = arm-linux-gnueabi-g++
armv6: PACKAGE = g++-arm-linux-gnueabi
armv6: cross-armv6  ## build/armv6/edgellm, static, for ARMv6 (Raspberry Pi 1 and Zero)

musl: CROSS = musl-gcc
musl: PACKAGE = musl-tools
musl: cross-musl  ## build/musl/edgellm, the smallest, for x86-64 Linux

cross-%: tools
	@command -v $(CROSS) >/dev/null || { echo "$(CROSS) is missing: apt-get install $(PACKAGE) (Debian); on another system build in a container"; exit 1; }
	$(call cross,all)

test-aarch64 test-armv7 test-armv6 test-musl: test-%: %  ## the same tests: of ARM under qemu
	$(call cross,tests)
	@tests/run.sh build/$* --parallel $(JOBS)

# These have no converter of their own; this machine's makes the models for their tests.
test-armv6 test-musl: converter
converter: tools
	@cmake/build.sh build "edgellm-convert" $(JOBS) $(CONFIGURE)

install: all  ## to $(DESTDIR)$(PREFIX)
	@DESTDIR=$(DESTDIR) cmake --install $(BUILD) --prefix $(PREFIX)

format:  ## clang-format over the tree
	@clang-format-19 -i $$(git ls-files '*.cpp' '*.h')

clean:  ## removes build/
	@rm -rf build

help:  ## this list
	@echo "make                builds $(BUILD)/edgellm, edgellm-convert and libedgellm.a (MODE=release|debug|asan|tsan|fuzz)"
	@sed -n 's/^\([a-z0-9-]*\):.*  ## \(.*\)/make \1 \2/p' Makefile | awk '{ name = $$2; $$1 = $$2 = ""; printf "make %-14s%s\n", name, $$0 }'

# One line that says what is missing and what to install.
tools:
	@command -v cmake >/dev/null || { echo "cmake is missing: apt-get install cmake (Debian), brew install cmake (macOS)"; exit 1; }
	@for compiler in $(firstword $(CC)) $(firstword $(CXX)); do command -v $$compiler >/dev/null || \
	  { echo "the compiler $$compiler is missing: apt-get install g++ (Debian), xcode-select --install (macOS), or name another: make CC=gcc CXX=g++"; exit 1; }; done
