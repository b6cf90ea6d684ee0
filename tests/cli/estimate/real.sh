# The real model at W + P w: first-order errors fall with the square of the length, those without the gradient with the
# length; estimates by the moved model; a model or an adapter other than the stores' is refused.
rows >rows
sed -n '1,6p' rows | sed 's/"id":"r/"id":"q/' >target
L=$MODELS/llama-tiny
winnow train --model $L --data rows --out ad --steps 5 --lr 0.01 --precision f32 --quiet
for s in rows target; do
    winnow grad --model $L --adapter ad --pool $s --quantity margin --project 64 --precision f32 --out lora-$s --quiet
    winnow grad --model $L --pool $s --params all --quantity margin --project 64 --precision f32 --out all-$s --quiet
done
printf 'colour\nanimal,sum\n' >subsets
power() {
    awk -F'[:,] *' '{ for (i = 1; i < NF; i++) v[$i] = $(i + 1)
        if (n++ % 2) print (v["\"error\""] / e > 30 ? "quadratic" : "not quadratic") ", " \
            (v["\"without_gradient\""] / w < 15 ? "linear" : "not linear") " without"
        e = v["\"error\""]; w = v["\"without_gradient\""] }'
}
run() { winnow estimate --target-rows target --model $L --precision f32 --subsets subsets "$@"; }
run --store lora-rows --target lora-target --adapter ad --first-order 0.002,0.02 | power
run --store all-rows --target all-target --first-order 0.0002,0.002 | power
run --store lora-rows --target lora-target --adapter ad --evaluate forward --scale 0.05 --threads 1 >one
run --store lora-rows --target lora-target --adapter ad --evaluate forward --scale 0.05 --threads 3 >three
same one three
sed 's/\(\.[0-9]\{3\}\)[0-9]*/\1/g; s/"length".*/.../' one
run --store all-rows --target all-target --evaluate forward --norm 0.05 | sed 's/\(\.[0-9]\{3\}\)[0-9]*/\1/g; s/"length".*/.../'
fails run --store lora-rows --target lora-target --evaluate forward 2>err
sed 's/[0-9a-f]\{64\}/HASH/g' err >&2
fails run --store all-rows --target lora-target 2>err
sed 's/[0-9a-f]\{64\}/HASH/g' err >&2
fails run --store lora-rows --target lora-target --adapter ad --evaluate forward --scale 1 --norm 1
fails run --store lora-rows --target lora-target --adapter ad --first-order 0.1,x
fails winnow estimate --store lora-rows --target lora-target --subsets subsets --evaluate forward
