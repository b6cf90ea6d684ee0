# One flat Makefile.
#   all (default)  build/winnow, build/libwinnow.a, build/libwinnow.so
#   install        tool, libraries, header, winnow.pc, manual, completions to $(DESTDIR)$(PREFIX)
#   demo test      what scripts/demo and scripts/test run after the set-up
#   unit asan cli structure   the parts of test
#   bench tidy format check-format fuzz docs clean
# MPI=no builds without MPI, MPI=yes fails where there is none; else it is used where it is there.
# WERROR= switches -Werror off; SANITIZE=address,undefined builds everything under sanitizers.
MAKEFLAGS += --no-builtin-rules
ifeq ($(origin CC),default)
CC       := gcc
endif
PREFIX   ?= /usr/local
BUILD    ?= build
WERROR   ?= -Werror
SOVERSION := 0
VERSION  := $(shell sed -n 's/^\#define WN_VERSION "\(.*\)"/\1/p' include/winnow.h)

PKGS     := jansson yaml-0.1 zlib libzstd libpcre2-8 libxxhash libcrypto libcurl
PKG_C    := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_L    := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lutf8proc -ldnnl -lm

# Open MPI or MPICH: what pkg-config says, else what their compiler drivers do.
MPI      ?= auto
ifneq ($(MPI),no)
MPI_PC   := $(firstword $(foreach p,ompi-c ompi mpich,$(shell pkg-config --exists $(p) 2>/dev/null && echo $(p))))
ifneq ($(MPI_PC),)
MPI_C    := $(shell pkg-config --cflags $(MPI_PC))
MPI_L    := $(shell pkg-config --libs $(MPI_PC))
else
MPI_C    := $(shell mpicc --showme:compile 2>/dev/null || mpicc -compile_info 2>/dev/null | cut -d' ' -f2-)
MPI_L    := $(shell mpicc --showme:link 2>/dev/null || mpicc -link_info 2>/dev/null | cut -d' ' -f2-)
endif
ifneq ($(MPI_L),)
PKG_L    += $(MPI_L)
FLAGS_FOR_base/wire := -DWN_MPI $(patsubst -I%,-isystem %,$(MPI_C))
else ifeq ($(MPI),yes)
$(error MPI=yes: neither pkg-config (ompi-c, mpich) nor mpicc knows of an MPI)
endif
endif

WARN     := -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith $(WERROR)
OPT      ?= -O2
STD      := -std=c11 -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE -ffp-contract=off -fno-math-errno -fvisibility=hidden -fPIC -pthread -fopenmp
# Sanitized, clang cannot keep what `omp simd` promises, and would make that a warning.
SAN      := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer -Wno-pass-failed)
CFLAGS   ?= -g
ALL_C    := $(STD) $(OPT) $(CFLAGS) $(WARN) $(SAN) -Iinclude -Isrc $(PKG_C)
ALL_L    := $(LDFLAGS) -fopenmp -pthread $(SAN) $(PKG_L)

# kernel/fast.c is compiled once for each instruction set; dispatch.c picks one at run time.
ARCH     := $(shell $(CC) -dumpmachine | cut -d- -f1)
ifeq ($(ARCH),x86_64)
FAST     := $(if $(wildcard src/kernel/fast.c),avx2 avx512)
endif
FAST_O   := $(if $(SANITIZE),-O1,-O3)
FLAGS_avx2   := $(FAST_O) -mavx2 -mfma -mf16c -DWN_ISA=avx2
FLAGS_avx512 := $(FAST_O) -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c -DWN_ISA=avx512 -mprefer-vector-width=512

# Products of narrow numbers have a file for each instruction set.
NARROW_SRC     := $(wildcard src/kernel/narrow_*.c)
NARROW_512     := $(FLAGS_avx512) -mavx512bf16 -mavx512vnni
FLAGS_of_avx2  := $(FLAGS_avx2)
FLAGS_of_bf16  := $(NARROW_512)
FLAGS_of_amx   := $(NARROW_512) -mamx-tile -mamx-bf16 -mamx-int8
FLAGS_of_attention := $(FLAGS_of_amx)
FLAGS_of_strips := $(FLAGS_of_amx)

SRC      := $(filter-out src/kernel/fast.c $(if $(FAST),,$(NARROW_SRC)),$(wildcard src/*/*.c))
LIB_SRC  := $(filter-out src/cli/%,$(SRC))
CLI_SRC  := $(filter src/cli/%,$(SRC))
LIB_OBJ  := $(LIB_SRC:src/%.c=$(BUILD)/obj/%.o) $(FAST:%=$(BUILD)/obj/kernel/fast_%.o)
CLI_OBJ  := $(CLI_SRC:src/%.c=$(BUILD)/obj/%.o)
UNIT     := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))
# The 16-wide kernels over arrays take minutes to compile under sanitizers; test_kernel runs the same source there.
UNIT     := $(if $(SANITIZE),$(filter-out %/test_kernel_wide,$(UNIT)),$(UNIT))

all: $(BUILD)/winnow $(BUILD)/libwinnow.a $(BUILD)/libwinnow.so

$(BUILD)/obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_C) $(FLAGS_FOR_$*) -MMD -MP -c $< -o $@

$(BUILD)/obj/kernel/fast_%.o: src/kernel/fast.c
	@mkdir -p $(@D)
	$(CC) $(ALL_C) $(FLAGS_$*) -MMD -MP -c $< -o $@

$(BUILD)/obj/kernel/narrow_%.o: src/kernel/narrow_%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_C) $(FLAGS_of_$*) -MMD -MP -c $< -o $@

$(BUILD)/libwinnow.a: $(LIB_OBJ)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/libwinnow.so: $(LIB_OBJ)
	$(CC) -shared -Wl,-soname,libwinnow.so.$(SOVERSION) -o $@ $^ $(ALL_L)

$(BUILD)/winnow: $(CLI_OBJ) $(BUILD)/libwinnow.a
	$(CC) -o $@ $(CLI_OBJ) $(BUILD)/libwinnow.a $(ALL_L)

$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/libwinnow.a
	@mkdir -p $(@D)
	$(CC) $(ALL_C) -Itests -Wno-missing-prototypes -MMD -MP -o $@ $< $(BUILD)/libwinnow.a $(ALL_L) -lcriterion

unit: $(UNIT)
	@bad=0; for t in $(UNIT); do echo "== $$t"; \
	    WN_TEST_ROOT=$(CURDIR) $$t --short-filename -j2 --timeout 120 || bad=1; done; exit $$bad

asan:
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/asan SANITIZE=address,undefined OPT=-O1 unit

cli: all
	@WINNOW=$(CURDIR)/$(BUILD)/winnow tests/cli/run

structure: all
	@BUILD=$(BUILD) CC="$(CC)" tests/structure/run

test:
	@BUILD=$(BUILD) tests/run

demo: all
	@scripts/demo --built

bench: all
	@$(BUILD)/winnow bench $(BENCH)

# What the scripts of bench/ run beside their peers: build/bench/NAME
$(BUILD)/bench/%: bench/%.c $(BUILD)/libwinnow.a
	@mkdir -p $(@D)
	$(CC) $(ALL_C) -Wno-missing-prototypes -MMD -MP -o $@ $< $(BUILD)/libwinnow.a $(ALL_L)

# ---- packaging ----

MAN1 := $(BUILD)/share/man/man1

$(BUILD)/share/made: $(BUILD)/winnow
	@rm -rf $(BUILD)/share && mkdir -p $(MAN1) $(BUILD)/share/bash $(BUILD)/share/zsh $(BUILD)/share/fish
	@$< --man > $(MAN1)/winnow.1
	@$< --commands | while read -r c; do \
	    $< --man $$c > $(MAN1)/winnow-$$(echo "$$c" | tr ' ' -).1 || exit 1; done
	@$< --completion bash > $(BUILD)/share/bash/winnow
	@$< --completion zsh > $(BUILD)/share/zsh/_winnow
	@$< --completion fish > $(BUILD)/share/fish/winnow.fish
	@touch $@

D = $(DESTDIR)$(PREFIX)
install: all $(BUILD)/share/made
	install -d $(D)/bin $(D)/include $(D)/lib/pkgconfig $(D)/share/man/man1
	install -d $(D)/share/bash-completion/completions $(D)/share/zsh/site-functions
	install -d $(D)/share/fish/vendor_completions.d
	install -m 755 $(BUILD)/winnow $(D)/bin/winnow
	install -m 644 include/winnow.h $(D)/include/winnow.h
	install -m 644 $(BUILD)/libwinnow.a $(D)/lib/libwinnow.a
	install -m 755 $(BUILD)/libwinnow.so $(D)/lib/libwinnow.so.$(VERSION)
	ln -sf libwinnow.so.$(VERSION) $(D)/lib/libwinnow.so.$(SOVERSION)
	ln -sf libwinnow.so.$(SOVERSION) $(D)/lib/libwinnow.so
	@printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$${prefix}/lib' 'includedir=$${prefix}/include' '' \
	    'Name: winnow' 'Description: Pick the fine-tuning data that matters' 'Version: $(VERSION)' \
	    'Requires.private: $(PKGS)' 'Libs: -L$${libdir} -lwinnow' \
	    'Libs.private: -lutf8proc -ldnnl -lm -fopenmp -pthread $(MPI_L)' 'Cflags: -I$${includedir}' \
	    > $(D)/lib/pkgconfig/winnow.pc
	install -m 644 $(MAN1)/*.1 $(D)/share/man/man1/
	install -m 644 $(BUILD)/share/bash/winnow $(D)/share/bash-completion/completions/winnow
	install -m 644 $(BUILD)/share/zsh/_winnow $(D)/share/zsh/site-functions/_winnow
	install -m 644 $(BUILD)/share/fish/winnow.fish $(D)/share/fish/vendor_completions.d/winnow.fish

# ---- care of the sources ----

FORMAT   := $(wildcard include/*.h src/*/*.[ch] tests/unit/*.[ch] fuzz/*.c examples/*.c)

docs: $(BUILD)/winnow
	$< --markdown > docs/commands.md

tidy:
	clang-tidy-14 --quiet $(LIB_SRC) $(CLI_SRC) -- $(STD) -Iinclude -Isrc $(PKG_C)

format:
	clang-format-14 -i $(FORMAT)

check-format:
	clang-format-14 --dry-run -Werror $(FORMAT)

# libFuzzer targets: build/fuzz-build/fuzz/NAME CORPUS; fuzz/run runs them all, as `make test` does
FUZZ     := $(patsubst fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard fuzz/fuzz_*.c))
fuzz:
	@$(MAKE) --no-print-directory CC=clang-14 BUILD=$(BUILD)/fuzz-build \
	    SANITIZE=fuzzer-no-link,address,undefined fuzz-targets

fuzz-targets: $(FUZZ)

$(BUILD)/fuzz/%: fuzz/%.c $(BUILD)/libwinnow.a
	@mkdir -p $(@D)
	$(CC) $(ALL_C) -Wno-missing-prototypes -fsanitize=fuzzer -o $@ $< $(BUILD)/libwinnow.a $(ALL_L)

clean:
	rm -rf $(BUILD)

.PHONY: all unit asan cli structure test demo bench install docs tidy format check-format fuzz \
        fuzz-targets clean
.SECONDARY:
%.d: ;
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
