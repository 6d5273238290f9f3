-- triggers of auth.users
create trigger listener_forget_user after delete on auth.users
for each row execute function listener.forget_user();
