# The ids beside an array are refused as the array is; what a killed run left is written again.
rows >rows.jsonl
winnow embed --model $MODELS/bert-tiny --pool rows.jsonl --out s --quiet
winnow export s --out whole.npy
echo mine >v.ids.txt
fails winnow export s --out v.npy
cat v.ids.txt
gone v.npy
winnow export s --out v.npy --overwrite
same whole.npy v.npy
same whole.ids.txt v.ids.txt
fails winnow export s --out v.npy
# Killed between the two names: the ids stand, the array is a temporary.
mv v.npy v.npy.tmp
winnow export s --out v.npy
same whole.npy v.npy
gone v.npy.tmp
# An array that cannot be written leaves no ids.
winnow export s --out w.npy --overwrite
rm w.npy w.ids.txt
mkdir w.npy.tmp
fails winnow export s --out w.npy
ls -d w.*
