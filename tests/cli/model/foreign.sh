# Mixtures of experts, models with more senses than text and unknown architectures are refused by name, in one line each.
cp -r $MODELS/llama-tiny m
chmod -R u+w m
refuse() {
    echo "{\"model_type\": \"$1\"${2:+, $2}}" >m/config.json
    fails winnow model info m 2>&1 | sed 's/(known: .*/(known: ...)/'
}
for of in qwen3_moe:num_experts qwen2_moe:num_experts mixtral:num_local_experts phimoe:num_local_experts \
    deepseek_v3:n_routed_experts gpt_oss:num_local_experts llama4_text:num_local_experts; do
    refuse ${of%:*} "\"${of#*:}\": 8"
done
refuse dbrx '"ffn_config": {"moe_num_experts": 16}'
for of in gemma3 gemma3n llama4 mllama qwen2_vl qwen2_5_vl qwen3_vl paligemma mistral3; do
    refuse $of '"vision_config": {"hidden_size": 8}, "text_config": {"model_type": "gemma3_text"}'
done
refuse qwen2_audio '"audio_config": {}'
refuse phi3_v '"embd_layer": {"embedding_cls": "image"}'
refuse phi3small
refuse gemma3n_text
# a dense model of a family that also comes as a mixture
refuse llama '"num_local_experts": 4'
