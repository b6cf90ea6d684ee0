# Chat formats: by name, by the model's own text, and never guessed.
rows >rows.jsonl
cp -r $MODELS/llama-tiny m
chmod -R u+w m
score() { winnow score --model m --rows rows.jsonl --quiet "$@"; }
fails score --template chat
cat >m/chat_template.jinja <<'J'
{%- for message in messages %}
    {{- "<|im_start|>" + message.role + "\n" + message.content + "<|im_end|>\n" }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- "<|im_start|>assistant\n" }}
{%- endif %}
J
score --template chat >own
score --template chatml >named
same own named
score >none
cmp -s own none || echo "a format changes figures"
sed -i 's/im_end/im_stop/' m/chat_template.jinja
fails score --template chat
fails score --template klingon
fails winnow train --model m --data rows.jsonl --out t --quiet --template chat
fails winnow embed --model m --pool rows.jsonl --out s --quiet --template chat
fails winnow eval --model m --rows rows.jsonl --quiet --template chat
gone t
gone s
# a system prompt: in the format, or refused
echo '{"id": 1, "prompt": "a b", "target": "c"}' >short.jsonl
score() { winnow score --model $MODELS/llama-tiny --rows short.jsonl --quiet "$@"; }
score --template llama-2 --system 'x' >sys
score --template llama-2 >plain
cmp -s sys plain || echo "the system prompt counts"
fails score --system 'Be brief.'
