"""Writes tests/goldens/chats/: three small tokenizers and chats.json, what transformers' apply_chat_template makes
of rows with the chat formats that winnow knows. Formats are given in the form their publishers use, without the
branches for tools.

Run by hand, output committed:  python3 tests/goldens/chats.py
chats.json: a list of {"name", "tokenizer", "jinja", "rows": [{"prompt", "target", "ids", "answer"}]}: `ids` with
the generation prompt, `answer` what follows in the whole conversation up to the end of the turn (null where the two
melt into each other). With "system" every row has that system prompt.
"""
import json
import os

from models_common import HERE, fresh

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

ROWS = [("What is 2 + 2?", "Four."), ("  blanks around \n", " an answer  with blanks \n"), ("a", "b"),
        ("<|im_end|> or </s> or <|eot_id|> spelled out", "[INST] x [/INST]"), ("line one\nline two\n\n", "\n\nfirst a line"),
        ("Привет, 世界 😀", "Καλημέρα"), ("def f(x):\n    return x", "    y = f(2)\n"), ("tail", "x")]
LEARN = [x for row in ROWS for x in row] * 4 + [
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face", "Cutting Knowledge Date: December 2023",
    "Today Date: 26 Jul 2024", "user assistant system model", "Knowledge Cutoff Date: June 2025 Reasoning Mode: /no_think"]
SPECIAL = ("<|endoftext|> <s> </s> <|im_start|> <|im_end|> <|im_sep|> <|begin_of_text|> <|start_header_id|> "
           "<|end_header_id|> <|eot_id|> <bos> <start_of_turn> <end_of_turn> <|user|> <|assistant|> <|end|> [INST] [/INST] "
           "<think> </think>").split()

WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
TURNS = "{% for message in messages %}"
CHATML = (TURNS + "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")


def default_system(text):
    return CHATML.replace(TURNS, TURNS + "{% if loop.first and messages[0]['role'] != 'system' %}"
                          "{{ '<|im_start|>system\\n" + text + "<|im_end|>\\n' }}{% endif %}")


QWEN25 = """{%- if messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
QWEN3 = """{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if message.role == "user" %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if '</think>' in content %}
            {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.last or reasoning_content %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""
QWEN3_INSTRUCT = """{%- for message in messages %}
    {%- set content = message.content %}
    {%- if message.role == "user" %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role + '\\n' + content }}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}"""
SMOLLM3 = """{# ---- defaults ---- #}
{%- if enable_thinking is not defined -%}{%- set enable_thinking = true -%}{%- endif -%}
{%- if enable_thinking -%}{%- set reasoning_mode = "/think" -%}{%- else -%}{%- set reasoning_mode = "/no_think" -%}{%- endif -%}
{{- "<|im_start|>system\\n" -}}
{{- "## Metadata\\n\\n" -}}
{{- "Knowledge Cutoff Date: June 2025\\n" -}}
{%- set today = strftime_now("%d %B %Y") -%}
{{- "Today Date: " ~ today ~ "\\n" -}}
{{- "Reasoning Mode: " + reasoning_mode + "\\n\\n" -}}
{{- "## Custom Instructions\\n\\n" -}}
{%- if true -%}
{{- "You are a helpful AI assistant named SmolLM, trained by Hugging Face.\\n\\n" -}}
{%- if xml_tools -%}
  {{- "### Tools\\n\\n" -}}
  {{- "\\n\\n" -}}
  {{- "<|im_end|>\\n" -}}
{%- endif -%}
{%- endif -%}
{%- for message in messages -%}
    {%- set content = message.content if message.content is string else "" -%}
    {%- if message.role == "user" -%}
        {{ "<|im_start|>" + message.role + "\\n"  + content + "<|im_end|>\\n" }}
    {%- elif message.role == "assistant" -%}
        {%- if reasoning_mode == "/think" -%}
            {{ "<|im_start|>assistant\\n" + content.lstrip("\\n") + "<|im_end|>\\n" }}
        {%- else -%}
            {{ "<|im_start|>assistant\\n" + "<think>\\n\\n</think>\\n" + content.lstrip("\\n") + "<|im_end|>\\n" }}
        {%- endif -%}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {%- if reasoning_mode == "/think" -%}
        {{ "<|im_start|>assistant\\n" }}
    {%- else -%}
        {{ "<|im_start|>assistant\\n" + "<think>\\n\\n</think>\\n"  }}
    {%- endif -%}
{%- endif -%}"""
LLAMA3 = ("{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + "
          "message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
          "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}"
          "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")
LLAMA31 = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
LLAMA2 = ("{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}"
          "{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
          "{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + "
          "message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}"
          "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
          "{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}")


def mistral(user, assistant):
    return ("{{ bos_token }}" + TURNS + "{% if message['role'] == 'user' %}{{ " + user + " }}{% elif message['role'] == 'assistant' %}{{ " +
            assistant + "}}{% endif %}{% endfor %}")


GEMMA = ("{{ bos_token }}" + TURNS + "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}"
         "{% endif %}{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}"
         "{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}")
GEMMA3 = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- set first_user_prefix = messages[0]['content'] + '\\n\\n' -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '\\n' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- endif -%}
    {{ '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model\\n'}}
{%- endif -%}
"""
ZEPHYR = ("{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + eos_token }}\n"
          "{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n"
          "{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n"
          "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}")
OLMO2 = ("{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ '<|user|>\n' + message['content'] + '\n' }}"
         "{% elif message['role'] == 'assistant' %}{% if not loop.last %}{{ '<|assistant|>\n'  + message['content'] + eos_token + '\n' }}"
         "{% else %}{{ '<|assistant|>\n'  + message['content'] + eos_token }}{% endif %}{% endif %}"
         "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}")
PHI3_FIRST = ("{{ bos_token }}" + TURNS + "{% if (message['role'] == 'user') %}{{'<|user|>' + '\n' + message['content'] + '<|end|>' + '\n' + "
              "'<|assistant|>' + '\n'}}{% elif (message['role'] == 'assistant') %}{{message['content'] + '<|end|>' + '\n'}}{% endif %}{% endfor %}")
PHI3 = (TURNS + "{% if message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'assistant' %}"
        "{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}"
        "{% else %}{{ eos_token }}{% endif %}")
PHI3_SMALL = (TURNS + "{{'<|' + message['role'] + '|>' + '\n' + message['content'] + '<|end|>\n' }}{% endfor %}{% if add_generation_prompt %}"
              "{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}")
PHI4_MINI = (TURNS + "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}{% if add_generation_prompt %}"
             "{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}")
PHI4 = (TURNS + "{% if (message['role'] == 'user') %}{{'<|im_start|>user<|im_sep|>' + message['content'] + '<|im_end|>'}}"
        "{% elif (message['role'] == 'assistant') %}{{'<|im_start|>assistant<|im_sep|>' + message['content'] + '<|im_end|>'}}{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}")
PHI4_FIRST = (TURNS + "{% if (message['role'] == 'user') %}{{'<|im_start|>user<|im_sep|>' + message['content'] + "
              "'<|im_end|><|im_start|>assistant<|im_sep|>'}}{% elif (message['role'] == 'assistant') %}{{message['content'] + '<|im_end|>'}}"
              "{% endif %}{% endfor %}")

# name, tokenizer, Jinja text, what ends a turn
CHATS = [
    ("chatml", "bpe", CHATML, "<|im_end|>"), ("chatml", "spm", CHATML, "<|im_end|>"),
    ("smollm2", "bpe", default_system("You are a helpful AI assistant named SmolLM, trained by Hugging Face"), "<|im_end|>"),
    ("smollm3", "bpe", SMOLLM3, "<|im_end|>"), ("qwen2", "bpe", default_system("You are a helpful assistant."), "<|im_end|>"),
    ("qwen2.5", "bpe", QWEN25, "<|im_end|>"), ("qwen3", "bpe", QWEN3, "<|im_end|>"), ("qwen3-instruct", "bpe", QWEN3_INSTRUCT, "<|im_end|>"),
    ("llama-3", "bpe", LLAMA3, "<|eot_id|>"), ("llama-3.1", "bpe", LLAMA31, "<|eot_id|>"),
    ("llama-2", "spm", LLAMA2, "</s>"), ("llama-2", "legacy", LLAMA2, "</s>"),
    ("mistral", "spm", mistral("'[INST] ' + message['content'] + ' [/INST]'", "message['content'] + eos_token"), "</s>"),
    ("mistral", "legacy", mistral("'[INST] ' + message['content'] + ' [/INST]'", "message['content'] + eos_token + ' '"), "</s>"),
    ("mistral-v1", "legacy", mistral("' [INST] ' + message['content'] + ' [/INST]'", "' ' + message['content'] + eos_token"), "</s>"),
    ("mistral-v3", "spm", mistral('"[INST] " + message["content"] + "[/INST]"', '" " + message["content"]|trim + eos_token'), "</s>"),
    ("mistral-v7", "spm", mistral("'[INST] ' + message['content'] + '[/INST]'", "' ' + message['content'] + eos_token").replace(
        "{% endif %}", "{% elif message['role'] == 'system' %}{{ '[SYSTEM_PROMPT] ' + message['content'] + '[/SYSTEM_PROMPT]' }}{% endif %}"), "</s>"),
    ("mistral-tekken", "bpe", mistral('"[INST]" + message["content"] + "[/INST]"', 'message["content"] + eos_token'), "<|endoftext|>"),
    ("gemma", "bpe", GEMMA, "<end_of_turn>"), ("gemma", "bpe", GEMMA3, "<end_of_turn>"),
    ("zephyr", "spm", ZEPHYR, "</s>"), ("zephyr", "legacy", ZEPHYR, "</s>"), ("olmo2", "bpe", OLMO2, "<|endoftext|>"),
    ("phi-3", "spm", PHI3_FIRST, "<|end|>"), ("phi-3", "legacy", PHI3, "<|end|>"), ("phi-3", "bpe", PHI3_SMALL, "<|end|>"),
    ("phi-4-mini", "bpe", PHI4_MINI, "<|end|>"), ("phi-4", "bpe", PHI4, "<|im_end|>"), ("phi-4", "bpe", PHI4_FIRST, "<|im_end|>"),
]

# The branches for a system prompt, as published.
PROMPT = " Answer as a pirate would.\nBe <|im_end|> brief. \n"
FIRST = "{%- if messages[0].role == 'system' %}{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}{%- endif %}"


def mistral_system(user, assistant):
    start, end = user
    return ("{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content'] %}{%- set loop_messages = messages[1:] %}"
            "{%- else %}{%- set loop_messages = messages %}{%- endif %}{{- bos_token }}{%- for message in loop_messages %}"
            "{%- if message['role'] == 'user' %}{%- if loop.first and system_message is defined %}{{- '" + start +
            "' + system_message + '\\n\\n' + message['content'] + '" + end + "' }}{%- else %}{{- '" + start + "' + message['content'] + '" + end +
            "' }}{%- endif %}{%- elif message['role'] == 'assistant' %}{{- " + assistant + "}}{%- endif %}{%- endfor %}")


def role(jinja, text):
    """A branch for the system's turn before the user's."""
    for first in ("{% if message['role'] == 'user' %}", "{% if (message['role'] == 'user') %}"):
        jinja = jinja.replace(first, "{% if message['role'] == 'system' %}{{ " + text + " }}" + first.replace("{% if", "{% elif"))
    return jinja


SYSTEM = [
    ("chatml", "bpe", CHATML, "<|im_end|>"), ("chatml", "spm", CHATML, "<|im_end|>"),
    ("smollm2", "bpe", default_system("You are a helpful AI assistant named SmolLM, trained by Hugging Face"), "<|im_end|>"),
    ("smollm3", "bpe", SMOLLM3.replace('{%- if true -%}', "{%- if messages[0].role == 'system' -%}{%- set custom_instructions = "
        "messages[0].content.replace('/no_think', '').replace('/think', '').rstrip() -%}{%- endif -%}{%- if custom_instructions -%}"
        "{{- custom_instructions + \"\\n\\n\" -}}{%- else -%}"), "<|im_end|>"),
    ("qwen2", "bpe", default_system("You are a helpful assistant."), "<|im_end|>"), ("qwen2.5", "bpe", QWEN25, "<|im_end|>"),
    ("qwen3", "bpe", FIRST + QWEN3, "<|im_end|>"), ("qwen3-instruct", "bpe", FIRST + QWEN3_INSTRUCT, "<|im_end|>"),
    ("llama-3", "bpe", LLAMA3, "<|eot_id|>"), ("llama-3.1", "bpe", LLAMA31, "<|eot_id|>"),
    ("llama-2", "spm", LLAMA2, "</s>"), ("llama-2", "legacy", LLAMA2, "</s>"),
    ("mistral", "spm", mistral_system(("[INST] ", " [/INST]"), "message['content'] + eos_token"), "</s>"),
    ("mistral-v1", "legacy", mistral_system((" [INST] ", " [/INST]"), "' ' + message['content'] + eos_token"), "</s>"),
    ("mistral-v3", "spm", mistral_system(("[INST] ", "[/INST]"), "' ' + message['content']|trim + eos_token"), "</s>"),
    ("mistral-tekken", "bpe", mistral_system(("[INST]", "[/INST]"), "message['content'] + eos_token"), "<|endoftext|>"),
    ("mistral-v7", "spm", next(c[2] for c in CHATS if c[0] == "mistral-v7"), "</s>"),
    ("gemma", "bpe", GEMMA3, "<end_of_turn>"), ("zephyr", "spm", ZEPHYR, "</s>"), ("zephyr", "legacy", ZEPHYR, "</s>"),
    ("olmo2", "bpe", role(OLMO2, "'<|system|>\n' + message['content'] + '\n'"), "<|endoftext|>"),
    ("phi-3", "spm", role(PHI3, "'<|system|>\n' + message['content'] + '<|end|>\n'"), "<|end|>"), ("phi-3", "bpe", PHI3_SMALL, "<|end|>"),
    ("phi-4-mini", "bpe", PHI4_MINI, "<|end|>"),
    ("phi-4", "bpe", role(PHI4, "'<|im_start|>system<|im_sep|>' + message['content'] + '<|im_end|>'"), "<|im_end|>"),
    ("phi-4", "bpe", role(PHI4_FIRST, "'<|im_start|>system<|im_sep|>' + message['content'] + '<|im_end|>'"), "<|im_end|>"),
]


def byte_bpe():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(WORDS), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(LEARN, trainers.BpeTrainer(
        vocab_size=420, show_progress=False, special_tokens=[AddedToken(x, special=True) for x in SPECIAL],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    return t, dict(bos_token="<|begin_of_text|>", eos_token="<|endoftext|>")


def spm(legacy):
    special = ["<unk>", "<s>", "</s>"]
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.train_from_iterator([x for line in LEARN for x in line.split(" ")], trainers.BpeTrainer(
        vocab_size=520, show_progress=False, special_tokens=special + [f"<0x{i:02X}>" for i in range(256)]))
    d = json.loads(t.to_str())
    d["added_tokens"] = d["added_tokens"][:3]
    t = Tokenizer.from_str(json.dumps(d))
    if not legacy:
        t.normalizer, t.pre_tokenizer = None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    t.add_special_tokens([AddedToken("<|end|>", special=True), AddedToken("<|im_start|>", special=True), AddedToken("<|im_end|>", special=True)])
    return t, dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def main():
    fresh("chats")
    opened = {}
    for name, (t, facts) in (("bpe", byte_bpe()), ("spm", spm(False)), ("legacy", spm(True))):
        path = fresh("chats", name)
        t.save(os.path.join(path, "tokenizer.json"))
        with open(os.path.join(path, "tokenizer_config.json"), "w") as f:
            json.dump(facts, f)
        opened[name] = PreTrainedTokenizerFast(tokenizer_object=t, **facts)
    out = []
    for name, which, jinja, end, system in [(*c, None) for c in CHATS] + [(*c, PROMPT) for c in SYSTEM]:
        t = opened[which]
        more = dict(enable_thinking=False, tokenize=False)
        rows = []
        for prompt, target in ROWS:
            talk = [{"role": "user", "content": prompt}, {"role": "assistant", "content": target}]
            if system:
                talk.insert(0, {"role": "system", "content": system})
            text = t.apply_chat_template(talk[:-1], chat_template=jinja, add_generation_prompt=True, **more)
            full = t.apply_chat_template(talk, chat_template=jinja, **more)
            if name == "smollm3":
                from datetime import datetime
                today = datetime.now().strftime("%d %B %Y")
                text, full = text.replace(today, "08 July 2025"), full.replace(today, "08 July 2025")
            full = full[:full.rindex(end) + len(end)]
            if name.startswith("phi-3") and full.endswith("<|endoftext|>"):
                full = full[:-13]
            ids, whole = (t(x, add_special_tokens=False)["input_ids"] for x in (text, full))
            rows.append({"prompt": prompt, "target": target, "ids": ids,
                         "answer": whole[len(ids):] if whole[:len(ids)] == ids and full.startswith(text) else None})
        print(name, which, sum(r["answer"] is None for r in rows), "melt")
        out.append({"name": name, "tokenizer": which, "jinja": jinja, **({"system": system} if system else {}), "rows": rows})
    with open(os.path.join(HERE, "chats", "chats.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(x, ensure_ascii=False, separators=(",", ":")) for x in out) + "\n]\n")


if __name__ == "__main__":
    main()
