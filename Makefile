# Nothing clever: each target is one command that can be typed as well.
.DEFAULT_GOAL := help
.PHONY: help demo test test-scenarios torture bench lint clean-lab

help:
	@echo 'make demo            build, start a lab on loopback and tell the story with the real binary'
	@echo 'make test            set up all that the tests need, then run every test'
	@echo 'make test-scenarios  the sessions in fixtures/scenarios alone; BLESS=1 records them anew'
	@echo 'make torture         kill, power cuts, damage, full and broken disks, crowds: what the ledger makes of them (20 min)'
	@echo 'make bench           measure side by side; writes bench/figures.json into the target folder'
	@echo 'make lint            formatting and clippy, warnings denied'
	@echo 'make clean-lab       stop every lab and remove its environment'

demo:
	@tests/toolchain
	@tests/lab/setup
	cargo build --locked
	@tests/lab/demo

test:
	@tests/run

test-scenarios:
	@tests/toolchain
	@tests/lab/setup
	cargo test --locked --test it scenarios

torture:
	@tests/toolchain
	cargo build --locked
	@tests/torture/run

bench:
	@tests/toolchain
	@tests/lab/setup
	cargo bench --locked

lint:
	@tests/toolchain
	@tests/lint

clean-lab:
	@tests/lab/down --all
	rm -rf tests/lab/.venv tests/lab/.run
