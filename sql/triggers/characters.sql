-- triggers of public.characters
create trigger characters_bound before insert on public.characters
for each row execute function listener.bound_characters();
