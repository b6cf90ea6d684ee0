# One flat Makefile. Targets: all (default), install, demo, test, unit, bench, asan, ubsan, tidy, format, clean.
# WERROR= switches -Werror off; SANITIZE=address,undefined builds everything under sanitizers.
CC       ?= gcc
PREFIX   ?= /usr/local
BUILD    ?= build
WERROR   ?= -Werror
PYTHON   ?= python3
VERSION  := $(shell sed -n 's/^\#define WN_VERSION "\(.*\)"/\1/p' include/winnow.h)

PKGS     := jansson yaml-0.1 zlib libzstd libpcre2-8 libxxhash libcrypto
PKG_C    := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_L    := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lutf8proc -ldnnl -lm

WARN     := -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith $(WERROR)
OPT      ?= -O2
STD      := -std=c11 -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE -ffp-contract=off -fno-math-errno -fvisibility=hidden -fPIC -pthread -fopenmp
SAN      := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer)
CFLAGS   ?= -g
ALL_C    := $(STD) $(OPT) $(CFLAGS) $(WARN) $(SAN) -Iinclude -Isrc $(PKG_C)
ALL_L    := $(LDFLAGS) -fopenmp -pthread $(SAN) $(PKG_L)

# kernel/fast.c is compiled once for each instruction set; dispatch.c picks one at run time.
ARCH     := $(shell $(CC) -dumpmachine | cut -d- -f1)
ifeq ($(ARCH),x86_64)
FAST     := avx2 avx512
endif
FLAGS_avx2   := -O3 -mavx2 -mfma -mf16c -DWN_ISA=avx2
FLAGS_avx512 := -O3 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c -DWN_ISA=avx512 -mprefer-vector-width=512

SRC      := $(filter-out src/kernel/fast.c,$(wildcard src/*/*.c))
LIB_SRC  := $(filter-out src/cli/%,$(SRC))
CLI_SRC  := $(filter src/cli/%,$(SRC))
LIB_OBJ  := $(LIB_SRC:src/%.c=$(BUILD)/obj/%.o) $(FAST:%=$(BUILD)/obj/kernel/fast_%.o)
CLI_OBJ  := $(CLI_SRC:src/%.c=$(BUILD)/obj/%.o)
UNIT     := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))

all: $(BUILD)/winnow $(BUILD)/libwinnow.a $(BUILD)/libwinnow.so

$(BUILD)/obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_C) -MMD -MP -c $< -o $@

$(BUILD)/obj/kernel/fast_%.o: src/kernel/fast.c
	@mkdir -p $(@D)
	$(CC) $(ALL_C) $(FLAGS_$*) -MMD -MP -c $< -o $@

$(BUILD)/libwinnow.a: $(LIB_OBJ)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/libwinnow.so: $(LIB_OBJ)
	$(CC) -shared -Wl,-soname,libwinnow.so.0 -o $@ $^ $(ALL_L)

$(BUILD)/winnow: $(CLI_OBJ) $(BUILD)/libwinnow.a
	$(CC) -o $@ $(CLI_OBJ) $(BUILD)/libwinnow.a $(ALL_L)

$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/libwinnow.a
	@mkdir -p $(@D)
	$(CC) $(ALL_C) -Itests -Wno-missing-prototypes -MMD -MP -o $@ $< $(BUILD)/libwinnow.a $(ALL_L) -lcriterion

unit: $(UNIT)
	@for t in $(UNIT); do echo "== $$t"; WN_TEST_ROOT=$(CURDIR) $$t --short-filename -j2 || exit 1; done

clean:
	rm -rf $(BUILD)

.PHONY: all unit clean
.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
