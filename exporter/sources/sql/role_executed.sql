
begin
  return query execute {select}
    using {arguments};
{errors}end
