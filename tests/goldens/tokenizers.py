"""Writes tests/goldens/tokenizers/: small tokenizers of every kind, trained here on a text of our own,
strings.json with the tough strings, and for each tokenizer KIND.json with the reference's ids.

Run by hand, output committed:  python3 tests/goldens/tokenizers.py [NAME...]     (only those names; trainers of wordpieces and unigrams
don't give the same vocabulary twice)
Needs: tokenizers, sentencepiece (and gguf to write the GGUF metadata files).
KIND/tokenizer.json is what winnow opens; KIND.json holds one entry a string, in their order:
{"ids": [[with special tokens], ...], "plain": [[without]], "text": [decoded, special tokens kept],
"skip": [decoded, special tokens skipped]}; null in `plain`: as in `ids`, null in `text`: as in `skip`;
null in both `ids` and `plain`: not compared. SentencePiece and GGUF files have one decoded text, without the special tokens.
"""
import io
import json
import os
import random
import sys
import tempfile

del sys.path[0]  # this file has the library's name

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tokenizers")

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
         r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
         r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}"
         r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


TEKKEN = O200K.replace(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?", "").replace(r"\p{N}{1,3}", r"\p{N}")
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"
DBRX = CL100K % "{1,3}"


def corpus():
    """A few thousand sentences made of our own words, with numbers, accents and other scripts."""
    rng = random.Random(7)
    nouns = ("river mountain engine harvest lantern window sailor market garden letter winter orchard "
             "question answer model gradient table number kitchen mirror violin teacher student paper "
             "island harbour forest weather morning evening story language sentence picture café naïve "
             "résumé straße größe señor łódź").split()
    verbs = ("carries finds builds breaks teaches learns writes reads answers follows opens closes "
             "paints counts measures remembers believes doesn't can't isn't won't they'll we're").split()
    others = ["日本語 の 文 です", "東京 大阪 京都", "привет мир и люди", "καλημέρα κόσμε", "שלום עולם",
              "مرحبا بالعالم", "नमस्ते दुनिया", "한국어 문장 입니다", "😀 🎉 👍", "สวัสดี ชาวโลก"]
    out = []
    for _ in range(2500):
        a, b, c = rng.choice(nouns), rng.choice(verbs), rng.choice(nouns)
        s = f"the {rng.choice(['old', 'new', 'small', 'quiet', 'bright'])} {a} {b} a {c}"
        kind = rng.randrange(8)
        if kind == 0:
            s += f", {rng.randrange(10000)} times in {1900 + rng.randrange(150)}"
        elif kind == 1:
            s = s.capitalize() + f"! Isn't it? ({rng.choice(nouns).upper()})"
        elif kind == 2:
            s += " " + rng.choice(others)
        elif kind == 3:
            s = f"  {s};\n\tif (x{rng.randrange(99)} == {rng.randrange(99)}) {{ return; }}"
        elif kind == 4:
            s = f"\"{s}\" -- said the {rng.choice(nouns)}: http://example.org/{a}_{c}?q={b}"
        out.append(s + rng.choice([".", ".", "!", "?", "...", ""]))
    return out


def strings():
    """The tough strings."""
    s = ["", " ", "  ", "   ", "\t", "\n", "\r", "\r\n", "\n\n\n", " \n ", "\n \n", "\u00a0", "\u3000", "\ufeff",
         "\u200b", "\u200d", "\x00", "\x01", "\x7f", "\x85", "\u2028", "\u2029", "a", "A", "é", "É", "ß", "ẞ",
         "İ", "ı", "ǅ", "ﬁ", "ſ", "Ω", "Å", "½", "①", "Ⅷ", "²", "㎏", "㌔", "ﷺ", "ﷻ", "0", "9", "٣", "๓", "五",
         "!", "?", ".", ",", "'", "\"", "`", "´", "’", "“q”", "—", "…", "_", "__init__", "^", "$", "€", "£", "+", "<", ">",
         "=", "|", "~", "\\", "/", "{}", "[]", "()", "<>", "##", "##ing", "#", "@user", "a@b.c"]
    # words and sentences
    s += ["the river carries a lantern.", "The River Carries A Lantern!", "THE RIVER", "tHe RiVeR",
          "Isn't it? They'll, we're, I'd, you've, I'm, he's, can't.", "ISN'T IT? THEY'LL, WE'RE, I'D, YOU'VE, I'M",
          "it's 'quoted' ''twice'' '''", "rock 'n' roll", "O'Neill's", "'s", "'S", "'ſ", "''s", " 's", "a's", "1's",
          "'re'll've", "'", "' s", "don\u2019t", "l\u2019été", "well-known re-enter e-mail", "a.b.c", "U.S.A.", "e.g.,i.e.",
          "http://example.org/a_b?q=1&r=%20#x", "C:\\dir\\file.txt", "/usr/lib/x86_64", "user@example.com",
          "#hashtag @mention", "a,b;c:d!e?f", "(a)[b]{c}<d>", "--flag=value -x", "x+=1; y-=2; z*=3;", "a==b&&c||d",
          "if (x > 0) { return -1; }\n", "def f(x):\n    return x ** 2\n", "\tindented\n\t\tmore\n", "a\tb\tc",
          "SELECT * FROM t WHERE a='b';", "<html><body>x</body></html>", "&amp;&lt;&gt;", "\\n\\t\\\\", "$1,234.56",
          "1234567890", "12 34 56", "1,000,000", "3.14159", "-273.15", "1e-10", "0x1F", "2024-02-29T12:34:56Z",
          "v1.2.3-rc.4", "100%", "50°C", "½ cup", "x²+y²=z²", "10⁻³", "①②③", "ⅠⅡⅢ", "１２３", "٠١٢٣", "๑๒๓", "〇一二",
          "1a2b3c", "abc123def", "a1", "1a", "1 a", "a 1", "1.", ".1", "1..2", "007", "0.1.2"]
    # blanks
    s += ["a b", "a  b", "a   b", "a    b", " a", "  a", "   a", "a ", "a  ", "a   ", " a b ", "  a  b  ", "a\nb", "a\n\nb",
          "a \nb", "a\n b", "a \n b", "a\r\nb", "a\rb", "a\r\n\r\nb", "a\n\r\nb", "a\n\n\n", "\n\na", " \t a", "\t \ta", "a\t\t",
          "a\u00a0b", "a\u00a0\u00a0b", " \u00a0a", "a\u2003b", "a\u3000b", "a\u200bb", "a\u2060b", "a\u202fb", "a\u1680b",
          "a\u180eb", "a\x0bb", "a\x0cb", "a\x1cb", "a\x85b", "a\u2028b", "a\u2029b", "\ufeffa", "a\ufeffb", "  \n  \n  ",
          "x  \n\n  y", "x\n    y\n        z", "end of line   \nnext", "tab\tthen  two", "   leading and trailing   ",
          " " * 10, " " * 50 + "x", "x" + " " * 50, "\n" * 20, "\t" * 9 + "x", " \n" * 8, "a" + "\u00a0" * 5 + "b"]
    # control characters and format characters
    s += ["a\x00b", "a\x01\x02b", "a\x1bb[0m", "a\x7fb", "a\x80b", "a\x9fb", "a\u00adb", "soft\u00adhyphen", "a\u200cb",
          "a\u200db", "a\u200eb\u200f", "a\u202eb\u202c", "a\u2066b\u2069", "a\ufffdb", "\ufffd", "\ufffe", "a\uffffb",
          "\ue000", "\U000f0000x", "\U0010ffff", "a\ufe0f", "a\U000e0041b", "a\u034fb", "\u061cx", "\u0600x", "\u06ddx", "\u070fx"]
    # accents, combining marks, normal forms
    s += ["café", "cafe\u0301", "naïve", "nai\u0308ve", "Ångström", "A\u030angstro\u0308m", "Å", "\u212b", "é\u0301", "e\u0301\u0301",
          "q\u0307\u0323", "q\u0323\u0307", "\u0301", "\u0301a", " \u0301", "a\u0301 b\u0327\u0301", "x\u0336y\u0336", "Z\u0351\u036b\u0343\u036a\u0302a\u030d",
          "résumé RÉSUMÉ", "Łódź ŁÓDŹ", "straße STRASSE", "GRÖSSE größe", "İstanbul ISTANBUL ıstanbul", "ŉ ǰ ΐ ΰ", "ﬀ ﬁ ﬂ ﬃ ﬄ ﬅ ﬆ",
          "ΣΊΣΥΦΟΣ σίσυφος ς", "Ὀδυσσεύς", "ᾳ ᾼ", "Ёлка ёлка", "й и\u0306", "Việt Nam Tiếng Việt", "Tiê\u0301ng Viê\u0323t",
          "ñ n\u0303", "ç c\u0327", "ő Ő", "ŵ ŷ", "œ Œ æ Æ", "ø Ø", "đ Đ", "ħ", "þ Þ ð", "Ⱥ ⱥ", "ﬃx", "ℌ ℕ ℝ ™ ℠ № ℡", "㍿ ㎡ ㏑",
          "ｆｕｌｌ　ｗｉｄｔｈ", "ＡＢＣ１２３！？", "ﾊﾝｶｸ ｶﾞ", "カ\u3099 か\u3099", "각 \u1100\u1161\u11a8", "가\u11a8", "\u1100\u1161", "ක්‍ෂ", "क\u094dष", "ज़ \u0958 क\u093c",
          "அ ஆ கொ", "\u0bc6\u0bbe", "ൺ ന്‍", "ཀྵ", "\u0f73", "ំ", "ဪ", "\u1026", "Ḱ k\u0301", "s\u0323\u0307 ṩ", "\u2126", "\u2329\u232a", "\u0340\u0341\u0374\u037e\u0387"]
    # scripts
    s += ["日本語の文です。", "東京都大阪市", "漢字とカタカナとひらがな", "中文测试，标点。", "繁體中文", "𠀀𠀁", "㐀㐁", "豈更車", "〆〇々",
          "a漢b字c", "漢 字", "日本 2024年 5月", "한국어 문장입니다.", "ㄱㄴㄷ", "привет, мир!", "Москва́", "Україна ї", "καλημέρα κόσμε",
          "שלום עולם", "שָׁלוֹם", "مرحبا بالعالم", "مَرْحَبًا", "العربية ١٢٣", "فارسی می‌خواهم", "עברית English mixed العربية", "नमस्ते दुनिया",
          "क्षत्रिय", "বাংলা", "ਪੰਜਾਬੀ", "ગુજરાતી", "தமிழ்", "తెలుగు", "ಕನ್ನಡ", "മലയാളം", "සිංහල", "สวัสดีชาวโลก", "ภาษาไทย ๑๒๓", "ພາສາລາວ", "ភាសាខ្មែរ",
          "မြန်မာ", "ქართული ᲥᲐᲠᲗᲣᲚᲘ", "հայերեն", "አማርኛ", "ᏣᎳᎩ ꮳꮃꭹ", "ᚠᚢᚦ", "ⰀⰁ", "𐍈", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "𝟘𝟙𝟚", "ⓐⓑ ⒶⒷ 🅰🅱", "⠓⠑⠇", "ᠮᠣᠩᠭᠣᠯ", "ꦗꦮ", "ⵜⵉⴼⵉ",
          "𞤀𞤁 𞤢𞤣", "Ꭰ ꭰ", "ɐɑ ʰ ˈ ː", "ˆ˜¨", "x̄ ŷ"]
    # emoji
    s += ["😀", "😀😁😂", "👍🏽", "👩‍💻", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷", "🇩", "1️⃣2️⃣", "❤️ ❤", "☃ ☃️", "a😀b", "😀 😀", "🤷🏻‍♀️ ok", "⌚️", "©®™", "🫠🫨",
          "👁️‍🗨️", "🧑‍🤝‍🧑", "\U0001f3f4\U000e0067\U000e0062\U000e007f", "\u200d\u200d", "❤\u200d🔥"]
    # special tokens, spelled out and nearly so
    s += ["[CLS]", "[SEP]", "[cls]", "[CLS] a [SEP]", "a[SEP]b", "[MASK]", "a [MASK] b", "a[MASK]b", "a  [MASK]  b", "[ MASK ]", "[MASK",
          "[UNK]", "[PAD]", "[UNK][UNK]", "<s>", "</s>", "<s>a</s>", "<unk>", "<pad>", "a<unk>b", "<|endoftext|>", "a<|endoftext|>b", "a <|endoftext|> b",
          "<|endoftext|><|endoftext|>", "<|endoftext", "|endoftext|>", "< |endoftext| >", "<|ENDOFTEXT|>", "<|im_start|>user\nhi<|im_end|>\n",
          "<|im_start|", "<<|im_start|>>", "<0x41>", "<0x0A>a", "<0xE2><0x98>", "<0x>", "▁", "▁a", "a▁b", " ▁ a", "▁▁", "Ġ", "Ġa", "Ċ", "aĠb", "Ā", "<extra_id_0>",
          "a <extra_id_1> b", "<extra_id_0><extra_id_1>", "newtok", "newtoken", "newtokens", "a newtok b", "anewtokb", "a NewTok b", "NEWTOK", "newtok.", "newtok,newtok",
          "_newtok_", "wordy", "a wordy b", "awordy", "wordyb", "wordy-wordy", "wordy_x", "1wordy", "wordyé", "wordy wordy", "lefty", "a   lefty b", "a\u3000lefty",
          "righty   a", "righty\n\na", "bothy", "  bothy  ", "a bothy bothy b", "lefty righty", "righty lefty", "righty   lefty", "Ünïcode tok", "ünïcode tok",
          "two words", "two  words", "Two Words", "abab", "ababab", "abababab", "ab ab"]
    # length
    s += ["a" * 20, "a" * 99, "a" * 100, "a" * 101, "é" * 100, "é" * 101, "ab" * 60, "aaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbb", "x" * 400, "1" * 40, "!" * 60,
          "the" * 50, "lantern" * 12, "日" * 70, "😀" * 30, "e" + "\u0301" * 40, "a\u0301" * 30, "-" * 33, "=" * 64, "_" * 31, ". " * 20, "word " * 40, "WoRd" * 15,
          "antidisestablishmentarianism", "Donaudampfschifffahrtsgesellschaft", "pneumonoultramicroscopicsilicovolcanoconiosis"]
    return s


def added():
    """Tokens with every flag, added to each tokenizer behind its own."""
    return [AddedToken("newtok", normalized=True), AddedToken("newtoken", normalized=False),
            AddedToken("wordy", single_word=True, normalized=False), AddedToken("lefty", lstrip=True, normalized=False),
            AddedToken("righty", rstrip=True, normalized=True), AddedToken("bothy", lstrip=True, rstrip=True, normalized=False),
            AddedToken("Ünïcode tok", normalized=True), AddedToken("two words", normalized=False),
            AddedToken("abab", normalized=False), AddedToken("ababab", normalized=True)]


def specials(*names):
    return [AddedToken(n, special=True, normalized=False) for n in names]


TEXT = corpus()


def bpe(size=700, tokens=(), alphabet=None, **kw):
    t = Tokenizer(models.BPE(**kw))
    return t, trainers.BpeTrainer(vocab_size=size, show_progress=False, special_tokens=list(tokens),
                                  initial_alphabet=alphabet or [],
                                  continuing_subword_prefix=kw.get("continuing_subword_prefix") or "",
                                  end_of_word_suffix=kw.get("end_of_word_suffix") or "")


def byte_bpe(pre, size=700, norm=None, template=None, extra=True, tokens=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
             **kw):
    t, trainer = bpe(size, specials(*tokens), sorted(pre_tokenizers.ByteLevel.alphabet()), **kw)
    t.pre_tokenizer, t.decoder = pre, decoders.ByteLevel()
    if norm:
        t.normalizer = norm
    t.train_from_iterator(TEXT, trainer)
    t.post_processor = template or processors.ByteLevel(trim_offsets=False)
    if extra:
        t.add_tokens(added())
    return t


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def wordpiece(norm, pre=None, size=800, prefix="##", post="template", **kw):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]", continuing_subword_prefix=prefix, **kw))
    t.normalizer, t.pre_tokenizer = norm, pre or pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece(prefix=prefix)
    trainer = trainers.WordPieceTrainer(vocab_size=size, show_progress=False, continuing_subword_prefix=prefix,
                                        special_tokens=specials("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))
    t.train_from_iterator(TEXT, trainer)
    if post == "template":
        t.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", t.token_to_id("[CLS]")), ("[SEP]", t.token_to_id("[SEP]"))])
    elif post == "bert":
        t.post_processor = processors.BertProcessing(("[SEP]", t.token_to_id("[SEP]")), ("[CLS]", t.token_to_id("[CLS]")))
    t.add_tokens(added())
    return t


def bytes_256():
    return [f"<0x{i:02X}>" for i in range(256)]


def llama2(fuse=True):
    """SentencePiece-style BPE: blanks are marks, bytes as the last resort, no pre-tokeniser."""
    t, trainer = bpe(900, specials("<unk>", "<s>", "</s>") + [AddedToken(b, normalized=False) for b in bytes_256()],
                     unk_token="<unk>", fuse_unk=fuse, byte_fallback=True)
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.pre_tokenizer = split("▁", "merged_with_next")
    t.train_from_iterator(TEXT, trainer)
    d = json.loads(t.to_str())
    d["added_tokens"] = d["added_tokens"][:3]
    d["pre_tokenizer"] = None
    d["decoder"] = {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
    t = Tokenizer.from_str(json.dumps(d))
    t.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)])
    t.add_tokens(added())
    return t


def gemma():
    """As Gemma: no mark in front, ByteFallback, a Split at blanks that merges with the previous piece."""
    d = json.loads(llama2(False).to_str())
    d["normalizer"] = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    d["pre_tokenizer"] = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    d["decoder"] = {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]}
    return Tokenizer.from_str(json.dumps(d))


def fields(b):
    """Field number -> list of values of a protobuf message."""
    def varint(i):
        v = shift = 0
        while True:
            v |= (b[i] & 127) << shift
            shift += 7
            i += 1
            if b[i - 1] < 128:
                return v, i
    out, i = {}, 0
    while i < len(b):
        key, i = varint(i)
        if key & 7 == 0:
            v, i = varint(i)
        elif key & 7 == 5:
            v, i = b[i:i + 4], i + 4
        else:
            n, i = varint(i)
            v, i = b[i:i + n], i + n
        out.setdefault(key >> 3, []).append(v)
    return out


def rules():
    """A small share of the nmt_nfkc rules as SentencePiece's TSV: source and target code points."""
    import unicodedata as u
    points = [*range(0xa0, 0x180), *range(0x1e00, 0x1e20), *range(0x2100, 0x2140), *range(0x2460, 0x2480), *range(0x3099, 0x309f),
              *range(0x3300, 0x3310), *range(0xfb00, 0xfb07), *range(0xff01, 0xffa0), *range(0xfdfa, 0xfdfb), *range(0xac00, 0xac20)]
    out = {(c,): [ord(x) for x in u.normalize("NFKC", chr(c))] for c in points}
    for base in "aeioucnkgとかカ":
        for mark in "\u0300\u0301\u0308\u030a\u0327\u3099":
            n = u.normalize("NFKC", base + mark)
            if len(n) == 1:
                out[ord(base), ord(mark)] = [ord(n)]
    for c in [*range(1, 9), 0xb, *range(0xe, 0x20), 0x7f, 0x8f, 0x9f]:
        out[(c,)] = []
    for c in [9, 0xa, 0xc, 0xd, 0x1680, *range(0x200b, 0x2010), 0x2028, 0x2029, 0x2581, 0xfeff, 0xfffd, 0xa0, 0x3000]:
        out[(c,)] = [32]
    out = {k: v for k, v in out.items() if list(k) != v}
    line = lambda v: " ".join("%X" % c for c in v)
    return "".join(line(k) + "\t" + line(v) + "\n" for k, v in sorted(out.items()))


def charsmap():
    """The map compiled from those rules, out of a SentencePiece model."""
    return fields(fields(spm_model("unigram"))[3][0])[2][0]


SPM = {}


def spm_model(kind, **kw):
    import sentencepiece as spm
    key = kind + repr(sorted(kw.items()))
    if key not in SPM:
        out = io.BytesIO()
        with tempfile.NamedTemporaryFile("w", suffix=".tsv") as tsv:
            tsv.write(rules())
            tsv.flush()
            spm.SentencePieceTrainer.train(sentence_iterator=iter(TEXT), model_writer=out, model_type=kind, vocab_size=600,
                                           **({} if "normalization_rule_name" in kw else {"normalization_rule_tsv": tsv.name}),
                                           num_threads=1, minloglevel=2, **kw)
        SPM[key] = out.getvalue()
    return SPM[key]


def unigram(pre, norm=None, fallback=False, size=600, post=None):
    t = Tokenizer(models.Unigram())
    if norm:
        t.normalizer = norm
    t.pre_tokenizer = pre
    t.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>"] + (bytes_256() if fallback else [])
    t.train_from_iterator(TEXT, trainers.UnigramTrainer(vocab_size=size + len(special), show_progress=False,
                                                        special_tokens=special, unk_token="<unk>"))
    d = json.loads(t.to_str())
    d["model"]["byte_fallback"] = fallback
    d["model"]["vocab"] = [[p, round(s, 6)] for p, s in d["model"]["vocab"]]
    d["added_tokens"] = d["added_tokens"][:3]
    t = Tokenizer.from_str(json.dumps(d))
    if fallback:
        t.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    t.post_processor = post or processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    t.add_special_tokens(specials("<extra_id_0>", "<extra_id_1>"))
    t.add_tokens(added())
    return t


def precompiled():
    return normalizers.Precompiled(charsmap())


def everything():
    n, p = normalizers, pre_tokenizers
    seq = p.Sequence
    bert = n.BertNormalizer
    level = lambda prefix=False, regex=False: p.ByteLevel(add_prefix_space=prefix, use_regex=regex)
    yield "wordpiece", wordpiece(bert(lowercase=True))
    yield "wordpiece-cased", wordpiece(bert(lowercase=False, handle_chinese_chars=False), post="bert", max_input_chars_per_word=20)
    yield "wordpiece-accents", wordpiece(bert(lowercase=True, strip_accents=False, clean_text=False), p.Whitespace(), 500)
    yield "wordpiece-mixed", wordpiece(n.Sequence([n.NFKD(), n.StripAccents(), n.Lowercase(), n.Strip()]),
                                       seq([p.WhitespaceSplit(), p.Punctuation("merged_with_previous"), p.Digits(True)]), 500, prefix="@@")
    yield "gpt2", byte_bpe(level(False, True))
    roberta = byte_bpe(level(True, True), tokens=("<s>", "<pad>", "</s>", "<unk>", "[MASK]"))
    roberta.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    yield "roberta", roberta
    yield "smollm", byte_bpe(seq([p.Digits(individual_digits=True), level(False, True)]))
    bos = processors.Sequence([processors.ByteLevel(trim_offsets=False),
                               processors.TemplateProcessing(single="<|endoftext|> $A", pair="$A $B", special_tokens=[("<|endoftext|>", 0)])])
    yield "llama3", byte_bpe(seq([split(CL100K % "{1,3}"), level()]), template=bos, ignore_merges=True)
    yield "qwen2", byte_bpe(seq([split(CL100K % ""), level()]), norm=n.NFC())
    yield "o200k", byte_bpe(seq([split(O200K), level()]), size=500)
    yield "bloom", byte_bpe(seq([split(BLOOM), level()]), size=400, tokens=("<unk>", "<s>", "</s>", "<pad>"))
    yield "gpt-neox", byte_bpe(level(False, True), size=400, norm=n.NFC(), tokens=("<|endoftext|>", "<|padding|>"))
    yield "behaviors", byte_bpe(seq([split(r"\d", "removed"), split(r"[aeiou]+", "merged_with_next"), split(r"\w+", "contiguous", True),
                                     p.Punctuation("contiguous"), level()]), size=400)
    yield "inverted", byte_bpe(seq([split(r"\S+\s?", "removed", True), p.CharDelimiterSplit("-"), level(True)]), size=400)
    t, trainer = bpe(500, specials("<unk>"), unk_token="<unk>", end_of_word_suffix="</w>")
    t.normalizer, t.pre_tokenizer, t.decoder = n.Sequence([n.NFKC(), n.Lowercase(), n.Replace(Regex(r"\s+"), " ")]), p.BertPreTokenizer(), decoders.BPEDecoder()
    t.train_from_iterator(TEXT, trainer)
    t.add_tokens(added())
    yield "bpe-suffix", t
    t, trainer = bpe(500, specials("<unk>"), unk_token="<unk>", fuse_unk=True, continuing_subword_prefix="##")
    t.normalizer, t.pre_tokenizer = n.NFD(), seq([p.Whitespace(), p.Digits(False), p.FixedLength(7)])
    t.train_from_iterator([x for x in TEXT if x.isascii()], trainer)
    t.add_tokens(added())
    yield "bpe-prefix", t
    yield "llama2", llama2()
    yield "gemma", gemma()
    yield "bytes-normalizer", byte_bpe(split(r"Ġ?\w+|[^\w]", "isolated"), size=400, norm=n.ByteLevel())
    yield "t5", unigram(seq([p.WhitespaceSplit(), p.Metaspace()]), precompiled())
    yield "xlmr", unigram(p.Metaspace(prepend_scheme="first"), n.Sequence([precompiled(), n.Strip(False, True), n.Replace(Regex(" {2,}"), "▁")]), True)
    yield "unigram-nmt", unigram(p.Metaspace(prepend_scheme="never", split=False), n.Sequence([n.Nmt(), n.NFKC(), n.Strip(True, False)]), size=400)
    yield "unigram-first", unigram(seq([p.Split(" ", "isolated"), p.Metaspace(prepend_scheme="first", split=False)]), n.Strip(True, True), size=300)


def decoded(sp, ids):
    """SentencePiece writes unknown tokens in its own way; those are not compared."""
    return None if ids is None or sp.unk_id() in ids else sp.decode(ids)


def sentencepiece_folders():
    """SentencePiece models: the ids are SentencePiece's own. Texts that spell out a special token are left
    out (null): transformers, and winnow, cut those out first."""
    import sentencepiece as spm
    user = ["newtok", "two words", "abab"]
    for name, kind, kw in (("spm-unigram", "unigram", {}), ("spm-t5", "unigram", {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}),
                           ("spm-bytes", "unigram", {"byte_fallback": True, "remove_extra_whitespaces": False}),
                           ("spm-bpe", "bpe", {"byte_fallback": True, "user_defined_symbols": user, "add_dummy_prefix": False}),
                           ("spm-bpe-plain", "bpe", {})):
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        folder = os.path.join(HERE, name)
        os.makedirs(folder, exist_ok=True)
        model = spm_model(kind, **kw)
        with open(os.path.join(folder, "spiece.model" if kind == "unigram" else "tokenizer.model"), "wb") as f:
            f.write(model)
        if name == "spm-t5":
            with open(os.path.join(folder, "config.json"), "w") as f:
                f.write('{"model_type": "t5"}\n')
        sp = spm.SentencePieceProcessor(model_proto=model)
        special = ["<s>", "</s>", "<unk>", "<pad>", "<extra_id_"]
        plain = [None if any(x in text for x in special) or "\0" in text else sp.encode(text) for text in strings()]
        before, behind = [sp.bos_id()] if kind == "bpe" else [], [sp.eos_id()] if name == "spm-t5" else []
        yield name, [p if p is None else before + p + behind for p in plain], plain, [decoded(sp, p) for p in plain]


def gguf_files():
    """GGUF files with nothing but a tokenizer's metadata; the ids are those of the tokenizer it was made of,
    without the tokens that were added to it."""
    import gguf
    import sentencepiece as spm

    def write(name, fill):
        if sys.argv[1:] and name not in sys.argv[1:]:
            return
        w = gguf.GGUFWriter(os.path.join(HERE, name + ".gguf"), "llama")
        fill(w)
        w.write_header_to_file()
        w.write_kv_data_to_file()
        w.close()

    def bytes_(*patterns, norm=None, size=700, **kw):
        level = pre_tokenizers.ByteLevel(False, use_regex=not patterns)
        return byte_bpe(pre_tokenizers.Sequence([*map(split, patterns), level]) if patterns else level, size, norm=norm, extra=False, **kw)

    smollm = byte_bpe(pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(False)]), extra=False)
    for name, pre, t in (("gguf-smollm", "smollm", smollm),
                         ("gguf-llama3", "llama-bpe", bytes_(DBRX, ignore_merges=True)),
                         ("gguf-qwen2", "qwen2", bytes_(CL100K % "", norm=normalizers.NFC())),
                         ("gguf-gpt2", "gpt-2", bytes_(size=320)),
                         ("gguf-neox", "olmo", bytes_(norm=normalizers.NFC(), size=320)),
                         ("gguf-dbrx", "dbrx", bytes_(DBRX, size=320)),
                         ("gguf-tekken", "tekken", bytes_(TEKKEN, size=320, ignore_merges=True)),
                         ("gguf-gpt4o", "gpt-4o", bytes_(O200K, size=320)),
                         ("gguf-bloom", "bloom", bytes_(BLOOM, size=320))):
        d = json.loads(t.to_str())
        vocab = sorted(d["model"]["vocab"], key=d["model"]["vocab"].get)

        def fill(w):
            w.add_tokenizer_model("gpt2")
            w.add_tokenizer_pre(pre)
            w.add_token_list(vocab)
            w.add_token_types([3 if i < 3 else 1 for i in range(len(vocab))])
            w.add_token_merges([" ".join(m) if isinstance(m, list) else m for m in d["model"]["merges"]])
            w.add_bos_token_id(0)
            w.add_eos_token_id(2)
            w.add_add_bos_token(pre in ("llama-bpe", "tekken"))
        write(name, fill)
        plain = [t.encode(x).ids for x in strings()]
        bos = [0] if pre in ("llama-bpe", "tekken") else []
        ids = [bos + p for p in plain]
        yield name, ids, plain, [t.decode(v, skip_special_tokens=True) if v else "" for v in ids]

    t = wordpiece(normalizers.BertNormalizer(lowercase=True))
    d = json.loads(t.to_str())
    base = Tokenizer.from_str(json.dumps({**d, "added_tokens": d["added_tokens"][:5]}))
    vocab = sorted(d["model"]["vocab"], key=d["model"]["vocab"].get)

    def phantom(x):
        return x if x[0] == "[" and x[-1] == "]" and len(x) > 1 else x[2:] if x.startswith("##") else "▁" + x

    def fill(w):
        w.add_tokenizer_model("bert")
        w.add_token_list([phantom(x) for x in vocab])
        w.add_token_types([3 if i < 5 else 1 for i in range(len(vocab))])
        w.add_unk_token_id(1)
        w.add_uint32("tokenizer.ggml.cls_token_id", 2)
        w.add_uint32("tokenizer.ggml.seperator_token_id", 3)
    write("gguf-bert", fill)
    ids = [base.encode(x).ids for x in strings()]
    yield "gguf-bert", ids, [base.encode(x, add_special_tokens=False).ids for x in strings()], [base.decode(v) for v in ids]

    sp = spm.SentencePieceProcessor(model_proto=spm_model("bpe", byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False))

    def fill_llama(w):
        kinds = [2 if sp.is_unknown(i) else 3 if sp.is_control(i) else 6 if sp.is_byte(i) else 1 for i in range(sp.vocab_size())]
        w.add_tokenizer_model("llama")
        w.add_token_list([sp.id_to_piece(i) for i in range(sp.vocab_size())])
        w.add_token_scores([sp.get_score(i) for i in range(sp.vocab_size())])
        w.add_token_types(kinds)
        w.add_bos_token_id(1)
        w.add_eos_token_id(2)
        w.add_unk_token_id(0)
    write("gguf-spm", fill_llama)
    special = ["<s>", "</s>", "<unk>"]
    plain = [None if any(x in text for x in special) or "\0" in text or "▁" in text else sp.encode(text) for text in strings()]
    yield from gemma_file(write)
    yield "gguf-spm", [p if p is None else [1] + p for p in plain], plain, [decoded(sp, p) for p in plain]


def gemma_file(write):
    """Gemma's kind: runs of newlines and of blanks as added tokens (blanks as marks there, as blanks in GGUF), no mark in front. The
    reference is built as tokenizer.json holds it: every way to make a token of two others is a merge."""
    import sentencepiece as spm
    sp = spm.SentencePieceProcessor(model_proto=spm_model(
        "bpe", byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=False))
    runs = ["\n" * i for i in range(1, 6)] + ["▁" * i for i in range(2, 10)] + ["<table>"]
    own = [sp.id_to_piece(i) for i in range(sp.vocab_size()) if i < 259 or sp.id_to_piece(i) not in runs]
    vocab = own[:3] + runs + own[3:]
    ids = {x: i for i, x in enumerate(vocab)}
    made = [x for x in runs if len(set(x)) == 1] + [x for x in own[259:]]
    merges = []
    for x in made:
        ways = [(x[:k], x[k:]) for k in range(1, len(x)) if x[:k] in ids and x[k:] in ids]
        merges += sorted(ways, key=lambda w: (ids[w[0]], ids[w[1]]))
    t = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer, t.pre_tokenizer = normalizers.Replace(" ", "▁"), split(" ", "merged_with_previous")
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    t.add_special_tokens(specials("<unk>", "<s>", "</s>"))
    t.add_tokens([AddedToken(x, normalized=False) for x in runs])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)])

    def fill(w):
        w.add_tokenizer_model("llama")
        w.add_token_list([x.replace("▁", " ") if x in runs else x for x in vocab])
        w.add_token_scores([-1000.0 if i < 3 or x in runs else -float(i) for i, x in enumerate(vocab)])
        w.add_token_types([3 if i < 3 else 4 if x in runs else 6 if x.startswith("<0x") else 1 for i, x in enumerate(vocab)])
        w.add_bos_token_id(1)
        w.add_eos_token_id(2)
        w.add_unk_token_id(0)
        w.add_add_space_prefix(False)
    write("gguf-gemma", fill)
    encoded = [t.encode(x).ids for x in strings()]
    yield "gguf-gemma", encoded, [v[1:] for v in encoded], [t.decode(v) for v in encoded]


def plain_folders():
    """Folders as transformers reads them: vocabularies without a tokenizer.json, and one whose configuration overrides its
    post-processor. Ids are AutoTokenizer's."""
    from transformers import AutoTokenizer
    small = byte_bpe(pre_tokenizers.ByteLevel(False, use_regex=True), 330, tokens=("<s>", "<pad>", "</s>", "<unk>", "<mask>"), extra=False)
    d = json.loads(small.to_str())
    vocab, merges = d["model"]["vocab"], [" ".join(m) if isinstance(m, list) else m for m in d["model"]["merges"]]
    words = json.loads(wordpiece(normalizers.BertNormalizer(lowercase=True), size=500).to_str())["model"]["vocab"]
    token = lambda text, **kw: {"__type": "AddedToken", "content": text, "lstrip": False, "normalized": True, "rstrip": False,
                                "single_word": False, **kw}
    folders = {
        "files-opt": ({"model_type": "opt"}, {"errors": "replace", "unk_token": token("</s>"), "bos_token": token("</s>"),
                      "eos_token": token("</s>"), "pad_token": token("<pad>"), "add_prefix_space": False, "add_bos_token": True,
                      "tokenizer_class": "GPT2Tokenizer"}, None),
        "files-gpt2": ({"model_type": "gpt2"}, {"tokenizer_class": "GPT2Tokenizer", "added_tokens_decoder": {
            "2": dict(token("</s>"), special=True), "330": dict(token("newtok", lstrip=True), special=False),
            "331": dict(token("<|x|>", normalized=False, rstrip=True), special=True)}, "bos_token": "</s>", "eos_token": "</s>",
            "unk_token": "</s>", "pad_token": "<|x|>"}, None),
        "files-roberta": ({"model_type": "roberta"}, {}, {"mask_token": token("<mask>", lstrip=True), "bos_token": "<s>", "eos_token": "</s>",
                                                          "sep_token": "</s>", "cls_token": "<s>", "unk_token": "<unk>", "pad_token": "<pad>"}),
        "files-bert": ({"model_type": "bert"}, {"do_lower_case": False, "tokenizer_class": "BertTokenizer"}, None),
        "files-distilbert": ({"model_type": "distilbert"}, {"do_lower_case": True, "strip_accents": False}, None),
        "flags": ({"model_type": "llama"}, {"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": False, "add_eos_token": True,
                                            "bos_token": "<s>", "eos_token": "</s>"}, None),
    }
    for name, (config, tokens, special) in folders.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        folder = os.path.join(HERE, name)
        os.makedirs(folder, exist_ok=True)
        files = {"config.json": json.dumps(config) + "\n"}
        if tokens:
            files["tokenizer_config.json"] = json.dumps(tokens) + "\n"
        if special:
            files["special_tokens_map.json"] = json.dumps(special) + "\n"
        if name == "flags":
            small.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)])
            files["tokenizer.json"] = small.to_str()
        elif "bert" in name and "ro" not in name:
            files["vocab.txt"] = "".join(w + "\n" for w in sorted(words, key=words.get))
        else:
            files["vocab.json"] = json.dumps(vocab, ensure_ascii=False)
            files["merges.txt"] = "#version: 0.2\n" + "\n".join(merges) + "\n"
        for file, text in files.items():
            with open(os.path.join(folder, file), "w") as f:
                f.write(text)
        t = AutoTokenizer.from_pretrained(folder)
        print(name, type(t).__name__)
        t = t.backend_tokenizer
        decode = lambda v, skip: t.decode(v, skip_special_tokens=skip) if v else ""
        ids = [t.encode(x).ids for x in strings()]
        write_golden(name, ids, [t.encode(x, add_special_tokens=False).ids for x in strings()], [decode(v, False) for v in ids],
                     [decode(v, True) for v in ids])


def write_golden(name, ids, plain, text, skip):
    out = {"ids": ids, "plain": [None if p == v else p for p, v in zip(plain, ids)],
           "text": [None if x == y else x for x, y in zip(text, skip)], "skip": skip}
    with open(os.path.join(HERE, name + ".json"), "w") as f:
        f.write("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in out.items()) + "\n}\n")
    print(name)


def main():
    only = sys.argv[1:]
    os.makedirs(HERE, exist_ok=True)
    text = strings()
    assert len(text) >= 300
    with open(os.path.join(HERE, "strings.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(x) for x in text) + "\n]\n")
    for name, t in everything():
        if only and name not in only:
            continue
        folder = os.path.join(HERE, name)
        os.makedirs(folder, exist_ok=True)
        d = json.loads(t.to_str())
        with open(os.path.join(folder, "tokenizer.json"), "w") as f:
            json.dump(d, f, ensure_ascii=False, separators=(",", ":"))
            f.write("\n")
        t = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        ids = [t.encode(x).ids for x in text]
        plain = [t.encode(x, add_special_tokens=False).ids for x in text]
        decode = lambda v, skip: t.decode(v, skip_special_tokens=skip) if v else ""
        write_golden(name, ids, plain, [decode(v, False) for v in ids], [decode(v, True) for v in ids])
    plain_folders()
    for make in (sentencepiece_folders, gguf_files):
        for name, ids, plain, skip in make():
            if not only or name in only:
                write_golden(name, ids, plain, skip, skip)


if __name__ == "__main__":
    main()
