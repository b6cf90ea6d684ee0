"""Writes tests/goldens/io: files that other people's libraries wrote, and what they read back.

Needs numpy, torch, safetensors and gguf. Run by hand: python tests/goldens/io.py
"""
import json
import pathlib

import gguf
import numpy as np
import torch
from gguf import quants
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).parent / "io"
OUT.mkdir(exist_ok=True)
rng = np.random.default_rng(20240101)
Q = gguf.GGMLQuantizationType

# type: bytes of a block, offsets of its f16 numbers, elements of a block
BLOCKS = {
    Q.Q8_0: (34, [0], 32),
    Q.Q4_0: (18, [0], 32),
    Q.Q4_1: (20, [0, 2], 32),
    Q.Q5_0: (22, [0], 32),
    Q.Q5_1: (24, [0, 2], 32),
    Q.Q4_K: (144, [0, 2], 256),
    Q.Q5_K: (176, [0, 2], 256),
    Q.Q6_K: (210, [208], 256),
    Q.Q2_K: (84, [80, 82], 256),
    Q.Q3_K: (110, [108], 256),
    Q.IQ4_NL: (18, [0], 32),
    Q.IQ4_XS: (136, [0], 256),
}
ROWS, COLS = 3, 512


def random_blocks(kind):
    size, halves, elements = BLOCKS[kind]
    raw = rng.integers(0, 256, (ROWS * COLS // elements, size), dtype=np.uint8)
    for at in halves:
        # small, large, negative, zero and subnormal scales
        scale = rng.normal(0, 1, len(raw)) * 10.0 ** rng.integers(-7, 3, len(raw))
        scale[0] = 0
        raw[:, at : at + 2] = scale.astype("<f2").view(np.uint8).reshape(-1, 2)
    return raw.reshape(ROWS, -1)


def write_gguf():
    expected = {}
    w = gguf.GGUFWriter(OUT / "types.gguf", "llama")
    w.add_uint8("k.u8", 200)
    w.add_int8("k.i8", -100)
    w.add_uint16("k.u16", 60000)
    w.add_int16("k.i16", -30000)
    w.add_uint32("k.u32", 4000000000)
    w.add_int32("k.i32", -2000000000)
    w.add_float32("k.f32", 0.1)
    w.add_uint64("k.u64", 2**63 + 5)
    w.add_int64("k.i64", -(2**62))
    w.add_float64("k.f64", 0.1)
    w.add_bool("k.bool", True)
    w.add_string("k.string", "grüße")
    w.add_array("k.strings", ["a", "", "ccc", "é"])
    w.add_array("k.ints", [1, -2, 3])
    w.add_array("k.floats", [0.5, -1.25])
    for kind in BLOCKS:
        raw = random_blocks(kind)
        w.add_tensor(kind.name.lower(), raw, raw_dtype=kind)
        expected[kind.name.lower()] = torch.from_numpy(quants.dequantize(raw, kind).copy())
    x = rng.normal(0, 1, (3, 5)).astype(np.float32)
    w.add_tensor("f32", x)
    w.add_tensor("f16", x.astype(np.float16))
    expected["f32"] = torch.from_numpy(x)
    expected["f16"] = torch.from_numpy(x.astype(np.float16).astype(np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    save_file(expected, OUT / "types.safetensors")


def write_safetensors():
    x = torch.arange(12, dtype=torch.float32).reshape(3, 4) / 8 - 0.5
    save_file(
        {
            "f32": x,
            "f16": x.half(),
            "bf16": x.bfloat16(),
            "i64": torch.tensor([1, -2, 3]),
            "i32": torch.tensor([4, -5], dtype=torch.int32),
            "u8": torch.tensor([6, 250], dtype=torch.uint8),
            "bool": torch.tensor([True, False, True]),
            "scalar": torch.tensor(2.5),
            "empty": torch.zeros(0, 4),
        },
        OUT / "plain.safetensors",
        metadata={"format": "pt"},
    )
    save_file({"f64": x.double()}, OUT / "f64.safetensors")
    every = torch.arange(256, dtype=torch.uint8)
    f8 = {"e4m3": every.view(torch.float8_e4m3fn), "e5m2": every.clone().view(torch.float8_e5m2)}
    save_file(f8 | {k + ".f32": v.float() for k, v in f8.items()}, OUT / "f8.safetensors")
    shards = OUT / "sharded"
    shards.mkdir(exist_ok=True)
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    save_file({"a": x, "b": x + 1}, shards / names[0])
    save_file({"c": x + 2}, shards / names[1])
    index = {"metadata": {}, "weight_map": {"a": names[0], "b": names[0], "c": names[1]}}
    (shards / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def write_npy():
    x = np.arange(12, dtype=np.float64).reshape(3, 4) / 7
    np.save(OUT / "f8.npy", x)
    np.save(OUT / "f4.npy", x.astype("<f4"))
    np.save(OUT / "f2.npy", x.astype("<f2"))
    np.save(OUT / "i4.npy", np.arange(5, dtype="<i4"))
    np.save(OUT / "i8.npy", np.arange(6, dtype="<i8").reshape(2, 3))
    np.save(OUT / "fortran.npy", np.asfortranarray(x))
    np.save(OUT / "big.npy", x.astype(">f4"))
    np.save(OUT / "three.npy", np.zeros((2, 2, 2), "<f4"))
    np.save(OUT / "struct.npy", np.zeros(2, [("a", "<f4"), ("b", "<i4")]))
    with open(OUT / "v2.npy", "wb") as f:
        np.lib.format.write_array(f, x.astype("<f4"), version=(2, 0))


write_gguf()
write_safetensors()
write_npy()
