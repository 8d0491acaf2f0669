mod keypair;
mod replay;
mod slots;
