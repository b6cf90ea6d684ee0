winnow --version
winnow --version --json >about.json
for key in version compiler cpu kernel threads mpi libraries oneDNN; do
    grep -q "\"$key\":" about.json || echo "no $key"
done
