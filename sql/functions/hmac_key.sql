-- listener.hmac_key(secret, padding) -> bytea
-- The key of one of HMAC-SHA256's two hashes: the secret, filled with zeros to a block of 64 bytes, each byte xor the padding
-- (0x36 inner, 0x5c outer). A secret of more than a block would have to be hashed first; Standard Webhooks ends at 64 bytes.
-- Source: RFC 2104, section 2.
create function listener.hmac_key(p_secret bytea, p_padding integer)
returns bytea
language sql immutable security invoker
set search_path = ''
as $$
  select string_agg(
    decode(lpad(to_hex(case when place < octet_length(p_secret) then get_byte(p_secret, place) else 0 end # p_padding), 2, '0'), 'hex'),
    ''::bytea order by place
  )
  from generate_series(0, 63) as place
$$;

revoke all on function listener.hmac_key(bytea, integer) from public, anon, authenticated, service_role;
