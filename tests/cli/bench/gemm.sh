winnow bench --what gemm --json --quiet | grep -c gflops
