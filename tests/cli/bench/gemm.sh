winnow bench --what gemm --json --quiet >json
grep -q '"gflops"' json && grep -q '"oneDNN f32"' json && echo measured
