# make setup | build | deb | demo | test | test-deploy | test-long | figures | fuzz | clean

.PHONY: setup build deb demo test test-deploy test-long figures fuzz clean

# What is missing on this machine; nothing the second time.
setup:
	@configs/setup.sh

build: setup
	cargo build --release --locked

# target/debian/culvert_VERSION_amd64.deb
deb:
	@configs/setup.sh deb
	@configs/debian/build.sh

# A gateway, two clients and a host on this machine, in network namespaces; removed when it ends. Root, or sudo.
demo: build
	@if [ "$$(id -u)" = 0 ]; then target/release/culvert demo; else sudo target/release/culvert demo; fi

# All that has to hold before a change is taken.
test:
	@configs/setup.sh test
	@tests/run.sh

# The package, the playbooks and the unit on machines of systemd-nspawn, under traffic: from nothing to an upgrade, a rollback and a removal.
# With CULVERT_DEB=FILE it takes that package and builds none. Root, or sudo.
test-deploy:
	@configs/setup.sh deploy
	@tests/deploy/run.sh

# All of `make test` with ten minutes of peers that come and go under load, and a minute of simulations that nobody has chosen.
test-long:
	@configs/setup.sh test
	@CULVERT_LONG=1 CULVERT_CHURN_SECONDS=600 tests/run.sh

# What it can do, in numbers: a table, and target/figures.json. They are worth what else the machine does meanwhile.
# ONLY="handshake" measures these groups alone.
figures: setup
	@tests/tools.sh boringtun
	cargo bench --locked --bench figures -- $(ONLY)

# Five minutes of libFuzzer for each parser, on nightly; FUZZ_SECONDS=60 makes it shorter.
fuzz:
	@configs/setup.sh fuzz
	@tests/fuzz/run.sh $${FUZZ_SECONDS:-300}

clean:
	cargo clean
	rm -rf target-loom target-miri
